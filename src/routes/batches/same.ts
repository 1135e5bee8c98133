import { setImmediate as othersTurn } from 'node:timers/promises'
import { Digest } from '../../json/digest.ts'
import type { RawJson } from '../../json/raw.ts'

/** How many characters are read in one piece, which takes 4 to 20 ms. */
const PIECE_CHARACTERS = 256 * 1024

interface Brought {
  result?: RawJson | undefined
  error?: RawJson | undefined
}

interface Duplicate {
  same?: boolean | undefined
  /** The recorded outcome, if it is another text than that of the call but has as many bytes. */
  recorded?: RawJson
}

/** Judges whether duplicates with their keys in another order are the same. After each piece other requests have their turn. */
export async function compareRecorded(
  answers: readonly Duplicate[],
  brought: readonly Brought[],
): Promise<void> {
  for (const [index, answer] of answers.entries()) {
    const { recorded } = answer
    if (!recorded) continue
    delete answer.recorded
    const json = brought[index]?.result ?? brought[index]?.error
    answer.same = json !== undefined && (await digestOf(json)) === (await digestOf(recorded))
  }
}

async function digestOf({ text }: RawJson): Promise<string> {
  const digest = new Digest(text)
  while (!digest.advance(PIECE_CHARACTERS)) await othersTurn()
  await othersTurn()
  return digest.value
}
