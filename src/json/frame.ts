import type { Path } from './faults.ts'
import type { Tape } from './tape.ts'

/** Up to so many keys are compared one by one: a set for every small object would cost more than the rest of its reading. */
const COMPARED_KEYS = 8

export type Container = Record<string, unknown> | unknown[]

/** An object or array that is being read. The next one at the same depth uses the frame again. */
export class Frame {
  isArray = false
  /** The value that is made from it; inside a caller's JSON none is made. */
  container: Container | undefined
  /** In an array: the position of the current member. */
  index = 0
  /** Where the key of the current member is kept, with its quotes, and whether it has escapes. */
  keyStart = 0
  keyEnd = 0
  keyEscaped = false
  /** In an object that is made: that key. */
  name = ''
  readonly #ends: number[] = []
  #keys = 0
  #seen: Set<string> | undefined

  begin(isArray: boolean, container: Container | undefined): void {
    this.isArray = isArray
    this.container = container
    this.index = 0
    this.keyStart = 0
    this.keyEnd = 0
    this.#keys = 0
    this.#seen = undefined
  }

  /**
   * Whether the object had the key that is kept between `start` and `end` before. Each key has one spelling, so the same key
   * is the same bytes. Their quote stays in the set: without it keys that are numbers would all collide in V8's hash.
   */
  repeats(bytes: Buffer, start: number, end: number): boolean {
    const ends = this.#ends
    if (this.#seen === undefined) {
      for (let at = 0; at < this.#keys; at += 1) {
        if (same(bytes, ends[2 * at] as number, ends[2 * at + 1] as number, start, end)) return true
      }
      ends[2 * this.#keys] = start
      ends[2 * this.#keys + 1] = end
      this.#keys += 1
      if (this.#keys > COMPARED_KEYS) {
        this.#seen = new Set()
        for (let at = 0; at < this.#keys; at += 1) {
          this.#seen.add(bytes.toString('latin1', ends[2 * at], ends[2 * at + 1]))
        }
      }
      return false
    }
    const before = this.#seen.size
    return this.#seen.add(bytes.toString('latin1', start, end)).size === before
  }
}

/** The path of the current member through these frames, the outermost first. */
export function pathOf(frames: Frame[], tape: Tape): Path {
  return frames.map(({ isArray, index, keyStart, keyEnd, keyEscaped }) =>
    isArray ? index : tape.stringAt(keyStart, keyEnd, keyEscaped),
  )
}

function same(bytes: Buffer, one: number, oneEnd: number, other: number, end: number): boolean {
  if (oneEnd - one !== end - other) return false
  for (let offset = 1; offset < end - other; offset += 1) {
    if (bytes[one + offset] !== bytes[other + offset]) return false
  }
  return true
}
