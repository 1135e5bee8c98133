import { setTimeout as rest } from 'node:timers/promises'

export interface Rest {
  restMs: number
  signal: AbortSignal
}

/** Repeats `step` until `signal` aborts; rests only after a step that did nothing, or failed, which the step itself reports. */
export async function loop(step: () => Promise<number>, { restMs, signal }: Rest): Promise<void> {
  while (!signal.aborted) {
    const done = await step()
    if (done === 0) await rest(restMs, undefined, { signal }).catch(() => undefined)
  }
}
