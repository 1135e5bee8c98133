import { z } from 'zod'
import { Refusal } from '../refusals.ts'

export const QueryCursor = z
  .string()
  .min(1)
  .max(4096)
  .optional()
  .describe('The next_cursor of the page before, with the same path and filters; limit may differ.')

export const NextCursor = z
  .string()
  .nullable()
  .describe('Only null ends the list; a page may be empty before that.')

/** What makes a list the same one: its route, path parameters and filters. An absent filter is one too. */
type List = Readonly<Record<string, string | undefined>>

const RULE = 'has to be a next_cursor of this list'

const Envelope = z.strictObject({ list: z.record(z.string(), z.string()), position: z.unknown() })

/** Opaque to callers: the list that it is of, and the values behind which the next page begins. */
export function toCursor(list: List, position: object): string {
  return Buffer.from(JSON.stringify({ list, position })).toString('base64url')
}

/**
 * Where a page begins. A cursor of another list is refused: its position would skip members of this one in silence. It is not
 * signed, because a forged one shows nothing that a request without it would not.
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

/** Nothing for a text that `toCursor` does not write. */
function decoded(cursor: string): unknown {
  const bytes = Buffer.from(cursor, 'base64url')
  if (bytes.toString('base64url') !== cursor) return undefined
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}
