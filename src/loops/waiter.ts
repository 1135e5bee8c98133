import { setTimeout as pause } from 'node:timers/promises'

/** Somebody who waits for something to happen, without a connection: woken by others, and no longer than his deadline. */
export class Waiter {
  readonly #drained: AbortSignal
  #woken = new AbortController()

  /** `drained`: the service stops, and answers everybody early. */
  constructor(drained: AbortSignal) {
    this.#drained = drained
  }

  get isWoken(): boolean {
    return this.#woken.signal.aborted
  }

  wake(): void {
    this.#woken.abort()
  }

  /** Whether he was woken since the last time; false at the deadline (of `Date.now()`) or when the service drains. */
  async stirred(deadline: number): Promise<boolean> {
    const milliseconds = Math.max(0, deadline - Date.now())
    const signal = AbortSignal.any([this.#woken.signal, this.#drained])
    await pause(milliseconds, undefined, { signal }).catch(() => undefined)
    const stirred = this.isWoken && !this.#drained.aborted && Date.now() < deadline
    // Who was woken too late passes it on.
    if (stirred) this.#woken = new AbortController()
    return stirred
  }
}
