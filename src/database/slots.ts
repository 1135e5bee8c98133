import { overloaded } from '../refusals.ts'

/** The key of the calls that wait for the barrier of an execution. */
export function executionOf(ask: object): string {
  const { namespace, execution_id } = ask as { namespace: string; execution_id: string }
  return `${namespace}\0${execution_id}`
}

interface Waiter {
  key: string
  enter: () => void
  /** Absent in a patient waiter, which is never refused. */
  refuse?: () => void
}

/**
 * Lets `most` keys in at once, each with one holder; the others wait in line, so that all waiters of one key take one slot.
 * A holder that keeps its slot longer than `waitMs` counts as hung. Nobody may queue behind a hung holder, nor at all once
 * every slot is hung. Otherwise waiters wait as long as it takes.
 */
export class Slots {
  readonly #most: number
  readonly #waitMs: number
  readonly #holders = new Map<string, { hangs: boolean }>()
  #line: Waiter[] = []

  constructor(most: number, waitMs: number) {
    this.#most = most
    this.#waitMs = waitMs
  }

  /** A `patient` holder is never refused: it rejects its own callers and keeps waiting. */
  async run<Result>(
    key: string,
    work: () => Promise<Result>,
    { patient = false } = {},
  ): Promise<Result> {
    if (!this.#isFree(key)) await this.#wait(key, patient)
    const holder = { hangs: false }
    this.#holders.set(key, holder)
    const clock = setTimeout(() => {
      holder.hangs = true
      this.#refuseQueued()
    }, this.#waitMs)
    try {
      return await work()
    } finally {
      clearTimeout(clock)
      this.#holders.delete(key)
      this.#admit()
    }
  }

  #isFree(key: string): boolean {
    return this.#holders.size < this.#most && !this.#holders.has(key)
  }

  #hangs(key: string): boolean {
    const holders = [...this.#holders.values()]
    return (
      this.#holders.get(key)?.hangs === true ||
      (holders.length === this.#most && holders.every(({ hangs }) => hangs))
    )
  }

  #wait(key: string, patient: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!patient && this.#hangs(key)) return reject(overloaded())
      this.#line.push({
        key,
        enter: resolve,
        ...(patient ? {} : { refuse: () => reject(overloaded()) }),
      })
    })
  }

  #refuseQueued(): void {
    const hanging = this.#line.filter(({ key, refuse }) => refuse && this.#hangs(key))
    const gone = new Set(hanging)
    this.#line = this.#line.filter(waiter => !gone.has(waiter))
    for (const { refuse } of hanging) refuse?.()
  }

  #admit(): void {
    const next = this.#line.findIndex(({ key }) => this.#isFree(key))
    const [waiter] = next === -1 ? [] : this.#line.splice(next, 1)
    if (waiter === undefined) return
    // Held from now on, not only once the waiter goes on.
    this.#holders.set(waiter.key, { hangs: false })
    waiter.enter()
  }
}
