import { setTimeout as pause } from 'node:timers/promises'

/** A caller who waits; registered before the state is read, so that nothing is missed. */
export interface Waiter<Subject> {
  /** Whether something may have happened to the subject, and the state is to be read again; false at the deadline (of `Date.now()`), when the caller left, or when the service drains. */
  stirred: (subject: Subject, deadline: number) => Promise<boolean>
  leave: () => void
}

interface Entry<Subject> {
  /** What it waits for; nothing before it has read the state once. */
  subject: Subject | undefined
  woken: AbortController
}

/** Callers who wait for something under a key, in the order they came. Waiting holds no connection. */
export class Waiters<Subject> {
  readonly #entries = new Map<string, Set<Entry<Subject>>>()
  readonly #drained: AbortSignal

  constructor(drained: AbortSignal) {
    this.#drained = drained
  }

  expect(key: string): Waiter<Subject> {
    const entry: Entry<Subject> = { subject: undefined, woken: new AbortController() }
    const entries = this.#entries.get(key) ?? new Set()
    this.#entries.set(key, entries.add(entry))
    let left = false
    return {
      stirred: async (subject, deadline) => {
        entry.subject = subject
        const { woken } = entry
        const signal = AbortSignal.any([woken.signal, this.#drained])
        const milliseconds = Math.max(0, deadline - Date.now())
        await pause(milliseconds, undefined, { signal }).catch(() => undefined)
        entry.woken = new AbortController()
        return woken.signal.aborted && !left && !this.#drained.aborted && Date.now() < deadline
      },
      leave: () => {
        left = true
        entries.delete(entry)
        if (entries.size === 0) this.#entries.delete(key)
        entry.woken.abort()
      },
    }
  }

  /** Wakes those who wait longest, at most so many. */
  wake(key: string, most = Infinity): void {
    let left = most
    for (const { woken } of this.#entries.get(key) ?? []) {
      if (left <= 0) return
      left -= 1
      woken.abort()
    }
  }

  /** Everything that is waited for, once for each waiter. */
  *subjects(): Iterable<[key: string, subject: Subject]> {
    for (const [key, entries] of this.#entries)
      for (const { subject } of entries) if (subject !== undefined) yield [key, subject]
  }
}
