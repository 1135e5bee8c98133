import { isDeepStrictEqual } from 'node:util'
import type { BatchSum } from './checksum.ts'
import type { RecordedBatch } from './rollcall.ts'

/** The differences between the computed results and the barrier's results in the order read, one line each. */
export function differences(expected: BatchSum[], found: RecordedBatch[]): string[] {
  const length = Math.max(expected.length, found.length)
  return Array.from({ length }, (_, index) => {
    const batch = found[index]
    if (batch !== undefined && batch.batch_index !== index) {
      return [`place ${index}: holds batch ${batch.batch_index}`]
    }
    const computed = expected[index]
    const isSame = computed !== undefined && isDeepStrictEqual(computed, batch?.result)
    return isSame
      ? []
      : [`batch ${index}: expected ${told(computed)}, found ${told(batch?.result)}`]
  }).flat()
}

function told(result: unknown): string {
  return result === undefined ? 'nothing' : JSON.stringify(result)
}
