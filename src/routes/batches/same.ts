import { setImmediate as othersTurn } from 'node:timers/promises'
import { Digest } from '../../json/digest.ts'
import type { RawJson } from '../../json/raw.ts'

/** Characters that are read in one piece: 4 to 20 ms, whatever they are. */
const PIECE_CHARACTERS = 256 * 1024

interface Brought {
  result?: RawJson | undefined
  error?: RawJson | undefined
}

interface Duplicate {
  same?: boolean | undefined
  /** What is recorded, if it has as many bytes as what the call brought, but is another text. */
  recorded?: RawJson
}

/** Judges whether duplicates whose keys are in another order are the same; others have their turn after each piece of them. */
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
