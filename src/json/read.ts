import { setImmediate as othersTurn } from 'node:timers/promises'
import type { Rules } from './rules.ts'
import { Scanner } from './scanner.ts'

/** The size of one piece. In the slowest shape found, strings of nothing but escapes, it took 65 ms of CPU on a busy machine. */
export const PIECE_BYTES = 256 * 1024

/** A body, and whether it has callers' JSON, which stays in the bytes it came in. */
export interface Read {
  body: Record<string, unknown>
  hasRaw: boolean
}

/** Reads a body that is small enough for one piece. Its bytes are used up. */
export function readBody(bytes: Buffer, rules: Rules): Read {
  const scanner = new Scanner(bytes, rules)
  scanner.advance(bytes.length)
  return { body: scanner.end(), hasRaw: scanner.hasRaw }
}

/** Reads a body of any size in pieces, and lets others have their turn between them. Its bytes are used up. */
export async function readInPieces(
  bytes: Buffer,
  rules: Rules,
  turn: () => Promise<void> = othersTurn,
): Promise<Read> {
  const scanner = new Scanner(bytes, rules)
  while (!scanner.advance(PIECE_BYTES)) await turn()
  return { body: scanner.end(), hasRaw: scanner.hasRaw }
}
