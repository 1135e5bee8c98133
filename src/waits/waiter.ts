/** Waits for something to happen, without a connection: until others wake it, and no longer than a deadline. */
export class Waiter {
  readonly #drained: AbortSignal
  #isWoken = false
  #goOn: () => void = () => undefined

  /** `drained`: the service stops. The signal outlives all waiters, so none is bound to it: its owner wakes them. */
  constructor(drained: AbortSignal) {
    this.#drained = drained
  }

  get isWoken(): boolean {
    return this.#isWoken
  }

  wake(): void {
    this.#isWoken = true
    this.#goOn()
  }

  /** Whether it was woken since the last time; false at the deadline (of `performance.now()`) or when the service drains. */
  async woken(deadline: number): Promise<boolean> {
    if (!this.#isWoken && !this.#drained.aborted) await this.#rest(deadline - performance.now())
    const woken = this.#isWoken && !this.#drained.aborted && performance.now() < deadline
    // Woken too late, it stays woken: its owner can pass the wake on.
    if (woken) this.#isWoken = false
    return woken
  }

  async #rest(milliseconds: number): Promise<void> {
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, Math.max(0, milliseconds))
      this.#goOn = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
