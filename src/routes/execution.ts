import type {
  FastifyPluginAsync,
  FastifyPluginOptions,
  FastifyTypeProvider,
  RawServerDefault,
} from 'fastify'
import { z } from 'zod'
import { RawJson } from '../json/raw.ts'
import { SEEN_PATTERN, unseenIn } from '../unseen.ts'

/**
 * Requests are typed by their zod schemas. Replies are not: the statement builds them, and every reply that a test receives is
 * checked against the document that the same schemas make.
 */
interface Types extends FastifyTypeProvider {
  validator: this['schema'] extends z.ZodType ? z.output<this['schema']> : unknown
  serializer: unknown
}

export type Routes = FastifyPluginAsync<FastifyPluginOptions, RawServerDefault, Types>

const MOST_INT4 = 2_147_483_647

/** What the OpenAPI document says of text in which only what Postgres cannot store is refused. */
export const NO_NUL = String.raw`^[^\u0000]*$`

/** Text that people read where a caller chose it: the log, a terminal, a list. */
export const Text = textOf(() => undefined)

/** Of 1 to 255 bytes, compared byte for byte. */
const hasFewBytes = (text: string) =>
  text === '' || Buffer.byteLength(text) > 255 ? 'has to have 1 to 255 bytes' : undefined

export const ShortText = textOf(hasFewBytes).meta({ minLength: 1, maxLength: 255 })

/** As a segment of a path, "." and ".." mean another path. */
export const ExecutionId = textOf(id =>
  id === '.' || id === '..' ? 'has to be other than "." and ".."' : hasFewBytes(id),
).meta({
  description: 'The name of the run, of 1 to 255 bytes; other than "." and "..".',
  minLength: 1,
  maxLength: 255,
  not: { enum: ['.', '..'] },
  examples: ['invoices-2026-11'],
})

/** One check and not a chain of them, because each link costs a microsecond of every request. */
function textOf(wrongWith: (text: string) => string | undefined) {
  return z
    .string()
    .check(({ value, issues }) => {
      const message = wrongWithText(value) ?? wrongWith(value)
      if (message !== undefined) issues.push({ code: 'custom', message, input: value })
    })
    .meta({ pattern: SEEN_PATTERN })
}

function wrongWithText(text: string): string | undefined {
  if (!text.isWellFormed()) return 'has to be well-formed Unicode'
  const unseen = unseenIn(text)
  if (unseen === undefined) return undefined
  return `has to be without control characters and other invisible ones, but has ${unseen}`
}

/** A number in a path or query: digits only, no leading zeros, judged before it is one. */
function digits(minimum: number, maximum: number, description: string) {
  return z
    .string()
    .transform((input, context) => {
      const isNumber = /^(0|[1-9]\d*)$/.test(input)
      const value = Number(input)
      if (isNumber && value >= minimum && value <= maximum) return value
      const message = isNumber
        ? `has to be ${minimum} to ${maximum}`
        : 'has to be digits only, without leading zeros'
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    })
    .meta({ type: 'integer', format: 'int32', minimum, maximum, description })
}

export const Int32 = z.int().min(0).max(MOST_INT4).meta({ format: 'int32' })
export const PathIndex = digits(0, MOST_INT4, 'The batch, from 0 to total - 1.')
export const QueryGeneration = digits(
  1,
  MOST_INT4,
  'The run that is meant; older is refused.',
).optional()
/** Below the minute after which many proxies give up. */
export const MOST_WAIT_SECONDS = 50
export const QueryWaitSeconds = digits(
  0,
  MOST_WAIT_SECONDS,
  'How long to wait for the barrier to close.',
).optional()
export const MOST_OF_PAGE = 1000
export const QueryLimit = digits(
  1,
  MOST_OF_PAGE,
  'The most members of a page; 100 if left out.',
).optional()

export const Generation = z.int().min(1).max(MOST_INT4).meta({
  format: 'int32',
  description: 'The run that enqueue returned; older is fenced, left out is the current.',
})

export const Moment = z.iso.datetime().meta({
  description: 'RFC 3339 in UTC, microseconds.',
  examples: ['2026-11-23T09:30:00.123456Z'],
})

/** Any JSON of a caller's, which passes through digit by digit. */
export const CallersJson = z.instanceof(RawJson).meta({
  description: 'Any JSON without NUL and lone surrogates.',
})

/** Names one claim or enqueue call, so that it can be repeated after a lost reply. */
export const IdempotencyKey = z.object({
  'idempotency-key': z
    .string()
    .regex(
      /^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$/,
      'has to be 1 to 255 printable ASCII characters',
    )
    .optional()
    .meta({
      description: 'Fresh for each call; the same only to repeat that call after a lost reply.',
      minLength: 1,
      maxLength: 255,
    }),
})

/** Of a reply that says when to come back. */
export const RetryAfter = z
  .int()
  .min(1)
  .max(MOST_INT4)
  .meta({ format: 'int32', description: 'Seconds to stay away.' })
