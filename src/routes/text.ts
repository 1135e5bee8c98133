import { z } from 'zod'
import { RawJson } from '../json/raw.ts'
import { SEEN_PATTERN, unseenIn } from '../unseen.ts'

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
