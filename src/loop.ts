import { setTimeout as pause } from 'node:timers/promises'

export interface Rest {
  restMs: number
  signal: AbortSignal
  /** Ends a rest early. */
  bell?: Bell
}

/** Repeats `step` until `signal` aborts; rests only after a step that did nothing, or failed, which the step itself reports. */
export async function loop(
  step: () => Promise<number>,
  { restMs, signal, bell = new Bell() }: Rest,
): Promise<void> {
  while (!signal.aborted) {
    const done = await step()
    if (done === 0) await bell.rest(restMs, signal)
  }
}

/** A loop that rests listens for this bell. A ring while it works ends its next rest at once, so none is lost. */
export class Bell {
  #rung = false
  #wake: () => void = () => undefined

  ring(): void {
    this.#rung = true
    this.#wake()
  }

  async rest(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, milliseconds)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
        signal.addEventListener('abort', this.#wake, { once: true })
      })
      signal.removeEventListener('abort', this.#wake)
    }
    this.#rung = false
  }
}

/** A pause that nothing but the end of the loop cuts short. */
export async function breathe(milliseconds: number, signal: AbortSignal): Promise<void> {
  await pause(milliseconds, undefined, { signal }).catch(() => undefined)
}
