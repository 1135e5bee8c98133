import { Slots } from './slots.ts'

export const MOST_AT_ONCE = 2
export const MOST_AGE_MS = 1000
/** An answer has 64 KiB of metadata at most, so all together have a megabyte or so. */
const MOST_KEPT = 20

interface Kept<Answer> {
  /** By `performance.now()`; Infinity until the read begins, so that an answer does not age in the queue. */
  begunAt: number
  answer: Promise<Answer>
}

/**
 * Reads that cost much more than others. Two run at once, and the next ones wait. Callers of one key share an answer that is a
 * second old at most. So the database works on two of them, however many callers ask.
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
    const answer = this.#slots.run(key, () => {
      begin.begunAt = performance.now()
      return read()
    })
    const kept: Kept<Answer> = Object.assign(begin, { answer })
    // A failure answers the callers that asked meanwhile; the next caller reads anew.
    answer.catch(() => {
      if (this.#kept.get(key) === kept) this.#kept.delete(key)
    })
    this.#kept.delete(key)
    this.#kept.set(key, kept)
    this.#forget()
    return answer
  }

  /** Drops the answers that are old, and the oldest ones above MOST_KEPT. */
  #forget(): void {
    for (const [key, kept] of this.#kept) {
      if (this.#kept.size > MOST_KEPT || !isFresh(kept)) this.#kept.delete(key)
    }
  }
}

function isFresh({ begunAt }: Kept<unknown>): boolean {
  return performance.now() - begunAt < MOST_AGE_MS
}
