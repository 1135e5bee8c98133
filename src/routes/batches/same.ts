import { setImmediate as othersTurn } from 'node:timers/promises'
import { canonical } from '../../json/canonical.ts'
import type { RawJson } from '../../json/raw.ts'

interface Brought {
  result?: RawJson | undefined
  error?: RawJson | undefined
}

interface Duplicate {
  same?: boolean
  /** What is recorded, if it has as many bytes as what the call brought, but is another text. */
  recorded?: RawJson
}

/** Judges whether duplicates whose keys are in another order are the same; others have their turn between two of them. */
export async function compareRecorded(
  answers: readonly Duplicate[],
  brought: readonly Brought[],
): Promise<void> {
  for (const [index, answer] of answers.entries()) {
    const { recorded } = answer
    if (!recorded) continue
    delete answer.recorded
    const json = brought[index]?.result ?? brought[index]?.error
    answer.same = json !== undefined && canonical(json.text) === canonical(recorded.text)
    await othersTurn()
  }
}
