import { Slots } from './slots.ts'

export const MOST_AT_ONCE = 2
export const MOST_AGE_MS = 1000
/** An answer has 64 KiB of metadata at most, so all together have a megabyte or so. */
const MOST_KEPT = 20

interface Kept<Answer> {
  /** By `performance.now()`; before its read begins, however long that waits, it cannot be old. */
  begunAt: number
  answer: Promise<Answer>
}

/**
 * Reads that cost much more than others: two run at once, the next wait, and callers of one key share an answer that is a second
 * old at most. So however many ask, the database works for two.
 */
export class SharedReads<Answer> {
  readonly #slots: Slots
  readonly #kept = new Map<string, Kept<Answer>>()

  constructor(waitMs: number) {
    this.#slots = new Slots(MOST_AT_ONCE, waitMs)
  }

  read(key: string, read: () => Promise<Answer>): Promise<Answer> {
    const known = this.#kept.get(key)
    return known && isFresh(known) ? known.answer : this.#begin(key, read)
  }

  #begin(key: string, read: () => Promise<Answer>): Promise<Answer> {
    const begin = { begunAt: Infinity }
    const answer = this.#slots.hold(key, () => {
      begin.begunAt = performance.now()
      return read()
    })
    const kept: Kept<Answer> = Object.assign(begin, { answer })
    // A failure is for those who asked meanwhile; the next read anew.
    answer.catch(() => {
      if (this.#kept.get(key) === kept) this.#kept.delete(key)
    })
    this.#kept.delete(key)
    this.#kept.set(key, kept)
    this.#forget()
    return answer
  }

  /** What is old, and the oldest of what is too much. */
  #forget(): void {
    for (const [key, kept] of this.#kept) {
      if (this.#kept.size > MOST_KEPT || !isFresh(kept)) this.#kept.delete(key)
    }
  }
}

function isFresh({ begunAt }: Kept<unknown>): boolean {
  return performance.now() - begunAt < MOST_AGE_MS
}
