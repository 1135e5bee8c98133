import { z } from 'zod'
import { RawJson } from '../json/raw.ts'
import { SEEN_PATTERN, unseenIn } from '../unseen.ts'

/** The pattern in the OpenAPI document for text in which only NUL, which Postgres cannot store, is refused. */
export const NO_NUL = String.raw`^[^\u0000]*$`

/** Text of a caller that people read in the log, on a terminal or in a list. */
export const Text = textOf(() => undefined)

/** Whether the text has 1 to 255 bytes. */
const hasFewBytes = (text: string) =>
  text === '' || Buffer.byteLength(text) > 255 ? 'has to have 1 to 255 bytes' : undefined

export const ShortText = textOf(hasFewBytes).meta({ minLength: 1, maxLength: 255 })

/** An id is a segment of a path, in which "." and ".." would lead elsewhere. */
export const ExecutionId = textOf(id =>
  id === '.' || id === '..' ? 'has to be other than "." and ".."' : hasFewBytes(id),
).meta({
  description: 'The name of the execution: 1 to 255 bytes, but neither "." nor "..".',
  minLength: 1,
  maxLength: 255,
  not: { enum: ['.', '..'] },
  examples: ['invoices-2026-11'],
})

/** This is one check and not a chain of checks, because each link costs a microsecond of every request. */
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

/** Any JSON of a caller. It passes through unchanged, digit by digit. */
export const CallersJson = z.instanceof(RawJson).meta({
  description: 'Any JSON without NUL and lone surrogates.',
})

/** Names one claim or enqueue call, so that a caller can repeat it after a lost reply. */
export const IdempotencyKey = z.object({
  'idempotency-key': z
    .string()
    .regex(
      /^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$/,
      'has to be 1 to 255 printable ASCII characters',
    )
    .optional()
    .meta({
      description:
        'A new key for each call. Use the same key only to repeat a call whose reply was lost.',
      minLength: 1,
      maxLength: 255,
    }),
})
