import { z } from 'zod'
import { Refusal } from '../refusals.ts'

export const QueryCursor = z
  .string()
  .min(1)
  .max(4096)
  .optional()
  .describe(
    'The next_cursor of the page before. Path and filters must be the same; limit may differ.',
  )

export const NextCursor = z
  .string()
  .nullable()
  .describe('The list ends only with null; a page before that may be empty.')

/** The identity of a list: its route, path parameters and filters. An absent filter counts too. */
type List = Readonly<Record<string, string | undefined>>

const RULE = 'has to be a next_cursor of this list'

const Envelope = z.strictObject({ list: z.record(z.string(), z.string()), position: z.unknown() })

/** Opaque to callers. It holds the identity of its list and the values behind which the next page begins. */
export function toCursor(list: List, position: object): string {
  return Buffer.from(JSON.stringify({ list, position })).toString('base64url')
}

/**
 * The position at which a page begins. A cursor of another list is refused: its position would silently skip members of this
 * one. It is not signed, because a forged cursor shows nothing that a request without a cursor would not.
 */
export function positionOf<Position extends z.ZodType>(
  cursor: string | undefined,
  list: List,
  position: Position,
): z.output<Position> | undefined {
  if (cursor === undefined) return undefined
  const read = Envelope.safeParse(decoded(cursor))
  if (!read.success) throw refusal(RULE)
  const madeOf = read.data.list
  for (const name of new Set([...Object.keys(madeOf), ...Object.keys(list)])) {
    if (madeOf[name] !== list[name]) throw notOfThisList(name)
  }
  const begin = position.safeParse(read.data.position)
  if (!begin.success) throw refusal(RULE)
  return begin.data
}

export function notOfThisList(name: string): Refusal {
  return refusal(`is not of this list: it was made with another ${name}`)
}

function refusal(message: string): Refusal {
  return new Refusal('invalid_request', {
    detail: `cursor: ${message}.`,
    errors: [{ path: 'cursor', message: `${message}.` }],
  })
}

/** Returns nothing for a text that `toCursor` cannot have written. */
function decoded(cursor: string): unknown {
  const bytes = Buffer.from(cursor, 'base64url')
  if (bytes.toString('base64url') !== cursor) return undefined
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}
