import { overloaded } from '../refusals.ts'

/** The key of who waits for the barrier of an execution. */
export function executionOf(ask: object): string {
  const { namespace, execution_id } = ask as { namespace: string; execution_id: string }
  return `${namespace}\0${execution_id}`
}

/** Lets `most` keys in at once, each with one holder; the others wait in line, so that those of one key take one slot. */
export class Slots {
  readonly #most: number
  readonly #held = new Set<string>()
  #line: { key: string; enter: () => void }[] = []

  constructor(most: number) {
    this.#most = most
  }

  /** Refuses who would wait for longer than `waitMs`, if it is given. */
  async hold<Result>(key: string, work: () => Promise<Result>, waitMs?: number): Promise<Result> {
    if (this.#isFree(key)) this.#held.add(key)
    else await this.#wait(key, waitMs)
    try {
      return await work()
    } finally {
      this.#held.delete(key)
      this.#admit()
    }
  }

  #isFree(key: string): boolean {
    return this.#held.size < this.#most && !this.#held.has(key)
  }

  #wait(key: string, waitMs: number | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#line = this.#line.filter(other => other !== waiter)
        reject(overloaded())
      }
      const clock = waitMs === undefined ? undefined : setTimeout(giveUp, waitMs)
      const waiter = {
        key,
        enter: () => {
          clearTimeout(clock)
          resolve()
        },
      }
      this.#line.push(waiter)
    })
  }

  #admit(): void {
    const next = this.#line.findIndex(({ key }) => this.#isFree(key))
    const [waiter] = next === -1 ? [] : this.#line.splice(next, 1)
    if (waiter === undefined) return
    this.#held.add(waiter.key)
    waiter.enter()
  }
}
