const COMMA = 0x2c
const QUOTE = 0x22
const BACKSLASH = 0x5c
const ARRAY = 0x5b
const ARRAY_END = 0x5d
const OBJECT = 0x7b
const OBJECT_END = 0x7d

/** An object or array around the current value; for an object also the hash before it, and the sum of its members. */
interface Level {
  isObject: boolean
  one: number
  other: number
  sum: number
  otherSum: number
}

/**
 * 64 bits of a JSON value, the same for every order of the keys of its objects, because the members of an object are added up.
 * Numbers are equal if they were sent with the same digits. It takes JSON as it is kept, and needs neither a copy of the text
 * nor memory for its values, of which a large result may have millions.
 *
 * A caller that finds two values with one digest deceives only itself.
 */
export class Digest {
  readonly #text: string
  readonly #levels: Level[] = []
  #at = 0
  #isInString = false
  #one = 0
  #other = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Reads about so many characters more. Returns whether the value is over. */
  advance(characters: number): boolean {
    const end = Math.min(this.#text.length, this.#at + characters)
    while (this.#at < end) {
      const code = this.#text.charCodeAt(this.#at)
      this.#at += 1
      if (this.#isInString) this.#takeInString(code)
      else this.#take(code)
    }
    return end === this.#text.length
  }

  get value(): string {
    return `${this.#one >>> 0}.${this.#other >>> 0}`
  }

  #takeInString(code: number): void {
    this.#mix(code)
    if (code === QUOTE) this.#isInString = false
    if (code !== BACKSLASH) return
    this.#mix(this.#text.charCodeAt(this.#at))
    this.#at += 1
  }

  #take(code: number): void {
    if (code === OBJECT) return this.#open(true)
    if (code === OBJECT_END) return this.#closeObject()
    if (code === COMMA && this.#levels.at(-1)?.isObject) return this.#addMember()
    this.#mix(code)
    if (code === QUOTE) this.#isInString = true
    else if (code === ARRAY) this.#open(false)
    else if (code === ARRAY_END) this.#levels.pop()
  }

  #open(isObject: boolean): void {
    this.#levels.push({ isObject, one: this.#one, other: this.#other, sum: 0, otherSum: 0 })
    if (isObject) this.#begin()
  }

  #begin(): void {
    this.#one = 0
    this.#other = 0
  }

  #addMember(): void {
    const level = this.#levels.at(-1) as Level
    level.sum = (level.sum + spread(this.#one)) | 0
    level.otherSum = (level.otherSum + spread(this.#other)) | 0
    this.#begin()
  }

  #closeObject(): void {
    this.#addMember()
    const { one, other, sum, otherSum } = this.#levels.pop() as Level
    this.#one = one
    this.#other = other
    this.#mix(OBJECT)
    // Both sums go into both halves, so that each half depends on the whole object.
    this.#mix(sum)
    this.#mix(otherSum)
    this.#mix(OBJECT_END)
  }

  /** The order of the codes matters; each half has an odd factor of its own, so that they do not collide together. */
  #mix(code: number): void {
    this.#one = Math.imul(this.#one ^ code, 0x5bd1e995) + 0x27d4eb2f
    this.#other = Math.imul((this.#other << 5) | (this.#other >>> 27), 0x2c1b3c6d) + code
  }
}

/** Spreads every bit over all others, so that members that differ little give sums that differ much. */
function spread(value: number): number {
  let bits = value
  bits = Math.imul(bits ^ (bits >>> 16), 0x7feb352d)
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b)
  return bits ^ (bits >>> 16)
}
