import { isAscii, isUtf8 } from 'node:buffer'
import { hexadecimal, isDigit, spelled } from './characters.ts'
import { isExact } from './exact.ts'
import { invalid, notJson } from './faults.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SLASH = 0x2f
const LETTER_U = 0x75
const MINUS = 0x2d
const ZERO = 0x30

/** 1 for every byte that stands for itself in a string: all but `"`, `\` and control characters. */
const plain = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH ? 1 : 0,
)
const ESCAPABLE = Buffer.from('"\\bfnrt')
const MOVED_BY_HAND_BYTES = 48
const SHORT_BYTES = 4 * 1024

/**
 * The bytes of a body, and how far they are read. Bytes that are kept move towards the beginning of the same buffer: the
 * shortest spelling of a JSON value is never longer than the one that was sent, so a body needs no second copy.
 */
export class Tape {
  readonly bytes: Buffer
  /** The next byte to read. */
  at = 0
  /** Where the next byte that is kept goes. */
  kept = 0
  /** Where the last value was read from. */
  origin = 0
  /** Whether the last string still has escapes. */
  escaped = false
  /** Whether the last string holds NUL or half of a surrogate pair, which Postgres cannot store. */
  unstorable = false

  /** The whole body as it came, if it is small and ASCII: cutting short texts from a string takes half the time. */
  readonly #text: string | undefined

  constructor(bytes: Buffer) {
    this.bytes = bytes
    const isShort = bytes.length <= SHORT_BYTES && isAscii(bytes)
    this.#text = isShort ? bytes.toString('latin1') : undefined
    if (!isShort && !isUtf8(bytes)) throw invalid([], 'The body has to be UTF-8.')
  }

  /** Keeps the next byte. */
  keep(): void {
    this.bytes[this.kept++] = this.bytes[this.at++] as number
  }

  /** Reads a string with its quotes, and keeps it with the fewest escapes. */
  string(): void {
    const { bytes } = this
    const { length } = bytes
    this.escaped = false
    this.unstorable = false
    let from = this.at
    this.origin = from
    for (let at = from + 1; ;) {
      while (at < length && plain[bytes[at] as number] === 1) at += 1
      if (at < length && bytes[at] === QUOTE) return this.#move(from, at + 1)
      if (at >= length || bytes[at] !== BACKSLASH) throw notJson(bytes, at, 'the end of a string')
      this.#move(from, at)
      at = this.#escape(at)
      from = at
    }
  }

  /** Reads the escape at `at`, and returns where it ends. */
  #escape(at: number): number {
    const { bytes } = this
    const letter = bytes[at + 1] as number
    if (letter === SLASH) {
      this.bytes[this.kept++] = SLASH
      return at + 2
    }
    if (letter !== LETTER_U) {
      if (!ESCAPABLE.includes(letter)) throw notJson(bytes, at, 'an escape of JSON')
      this.escaped = true
      this.bytes[this.kept++] = BACKSLASH
      this.bytes[this.kept++] = letter
      return at + 2
    }
    const first = this.#unit(at)
    const isHigh = first >= 0xd800 && first < 0xdc00
    if (isHigh && bytes[at + 6] === BACKSLASH && bytes[at + 7] === LETTER_U) {
      const second = this.#unit(at + 6)
      if (second >= 0xdc00 && second < 0xe000) {
        this.#character(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
        return at + 12
      }
    }
    if (first === 0 || (first >= 0xd800 && first < 0xe000)) this.unstorable = true
    this.#character(first)
    return at + 6
  }

  /** The four hexadecimal digits of the escape at `at`. */
  #unit(at: number): number {
    let unit = 0
    for (let next = at + 2; next < at + 6; next += 1) {
      const digit = hexadecimal(this.bytes[next] ?? 0)
      if (digit === -1) throw notJson(this.bytes, next, 'a hexadecimal digit')
      unit = unit * 16 + digit
    }
    return unit
  }

  #character(code: number): void {
    const text = spelled(code)
    if (text.length > 1 && text.startsWith('\\')) this.escaped = true
    this.kept += this.bytes.write(text, this.kept)
  }

  /** Reads a number, and keeps its digits as they are. */
  number(): void {
    const { bytes } = this
    let at = this.at
    this.origin = at
    if (bytes[at] === MINUS) at += 1
    at = bytes[at] === ZERO ? at + 1 : this.#digits(at)
    if (bytes[at] === 0x2e) at = this.#digits(at + 1)
    if (bytes[at] === 0x65 || bytes[at] === 0x45) {
      at += 1
      if (bytes[at] === 0x2b || bytes[at] === MINUS) at += 1
      at = this.#digits(at)
    }
    this.#move(this.at, at)
  }

  /** Where the digits at `from` end; there has to be one. */
  #digits(from: number): number {
    const { bytes } = this
    let at = from
    while (isDigit(bytes[at] as number)) at += 1
    if (at === from) throw notJson(bytes, at, 'a digit')
    return at
  }

  /** Reads `word`. */
  literal(word: string): void {
    const { bytes, at } = this
    for (let offset = 0; offset < word.length; offset += 1) {
      if (bytes[at + offset] !== word.charCodeAt(offset)) throw notJson(bytes, at, 'a value')
    }
    this.#move(at, at + word.length)
  }

  /** Keeps the bytes from `from` to `to`, and goes on behind them. */
  #move(from: number, to: number): void {
    const { bytes } = this
    this.at = to
    if (this.kept === from) {
      this.kept = to
    } else if (to - from > MOVED_BY_HAND_BYTES) {
      bytes.copyWithin(this.kept, from, to)
      this.kept += to - from
    } else {
      let kept = this.kept
      for (let next = from; next < to; next += 1) bytes[kept++] = bytes[next] as number
      this.kept = kept
    }
  }

  /** The string that was read last, and is kept from `start` on. */
  lastString(start: number): string {
    // A string that became shorter came with escapes that were not needed, such as those of `\/` and `\u00e9`.
    const isAsItCame = this.kept - start === this.at - this.origin && !this.escaped
    return isAsItCame && this.#text !== undefined
      ? this.#text.slice(this.origin + 1, this.at - 1)
      : this.stringAt(start, this.kept, this.escaped)
  }

  #lastNumber(start: number): number | undefined {
    const text =
      this.#text?.slice(this.origin, this.at) ?? this.bytes.toString('latin1', start, this.kept)
    const value = Number(text)
    return isExact(text, value) ? value : undefined
  }

  /** The value that was read last, or undefined for an inexact number. It began with `byte` and is kept from `start` on. */
  lastValue(byte: number, start: number): string | number | boolean | null | undefined {
    if (byte === QUOTE) return this.lastString(start)
    if (byte === 0x74) return true
    if (byte === 0x66) return false
    return byte === 0x6e ? null : this.#lastNumber(start)
  }

  /** The string that is kept from `start` to `end` with its quotes. */
  stringAt(start: number, end: number, escaped: boolean): string {
    return escaped
      ? (JSON.parse(this.bytes.toString('utf8', start, end)) as string)
      : this.bytes.toString('utf8', start + 1, end - 1)
  }
}
