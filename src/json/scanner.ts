// oxlint-disable max-lines -- One state machine: each of its steps reads and writes the same dozen fields.
import { inexact, invalid, notJson, type Path, tooLarge, unstorable } from './faults.ts'
import { type Container, Frame, pathOf } from './frame.ts'
import {
  COLON,
  COMMA_OR_END,
  KEY,
  KEY_OR_END,
  NOTHING,
  VALUE,
  VALUE_OR_END,
  WANTED,
} from './grammar.ts'
import { RawJson } from './raw.ts'
import { MOST_MEMBERS, MOST_VALUE_BYTES, MOST_VALUES, type Rules } from './rules.ts'
import { Tape } from './tape.ts'

/** Above this size callers' JSON stays in the bytes that arrived; below it a string costs less. */
const TEXT_BYTES = 16 * 1024

/**
 * Reads a body in one pass and in steps: strict JSON, no key twice in one object, no `__proto__`, bounded depth. It makes
 * a bounded number of objects, all outside of callers' JSON, which comes out as RawJson.
 */
export class Scanner {
  readonly #tape: Tape
  readonly #rules: Rules
  readonly #frames: Frame[] = []
  #depth = 0
  #next = VALUE
  #values = 0
  #body: Record<string, unknown> | undefined
  /** Whether the body had callers' JSON. */
  hasRaw = false
  /** The depth of the object whose member is a caller's JSON, and 0 outside of it. */
  #rawDepth = 0
  #rawStart = 0
  #rawLimit = 0

  constructor(bytes: Buffer, rules: Rules) {
    this.#tape = new Tape(bytes)
    this.#rules = rules
  }

  /** Reads about `count` bytes more. Returns whether the body is over. */
  advance(count: number): boolean {
    const tape = this.#tape
    const { bytes } = tape
    const end = Math.min(bytes.length, tape.at + count)
    while (tape.at < end) {
      const byte = bytes[tape.at] as number
      if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) tape.at += 1
      else this.#take(byte)
    }
    return end === bytes.length
  }

  /** The object that was read. */
  end(): Record<string, unknown> {
    const { bytes } = this.#tape
    if (this.#body && this.#next === NOTHING) return this.#body
    throw notJson(bytes, bytes.length, WANTED[this.#next] ?? '')
  }

  #take(byte: number): void {
    switch (this.#next) {
      case COMMA_OR_END:
        this.#takeCommaOrEnd(byte)
        break
      case COLON:
        if (byte !== 0x3a) throw this.#wrong()
        this.#takeColon()
        break
      case KEY_OR_END:
      case KEY:
        if (byte === 0x22) this.#takeKey()
        else if (byte === 0x7d && this.#next === KEY_OR_END) this.#close()
        else throw this.#wrong()
        break
      case VALUE_OR_END:
      case VALUE:
        if (byte === 0x5d && this.#next === VALUE_OR_END) this.#close()
        else this.#takeValue(byte)
        break
      default:
        throw this.#wrong()
    }
    if (this.#rawDepth > 0 && this.#tape.kept - this.#rawStart > this.#rawLimit)
      throw tooLarge(this.#path(this.#rawDepth), this.#rawLimit)
  }

  #wrong(): Error {
    return notJson(this.#tape.bytes, this.#tape.at, WANTED[this.#next] ?? '')
  }

  #takeCommaOrEnd(byte: number): void {
    const frame = this.#frames[this.#depth - 1] as Frame
    const { isArray } = frame
    if (byte === (isArray ? 0x5d : 0x7d)) return this.#close()
    if (byte !== 0x2c) throw this.#wrong()
    this.#tape.keep()
    frame.index += 1
    this.#next = isArray ? VALUE : KEY
    if (isArray && this.#rawDepth === 0 && frame.index === MOST_MEMBERS) {
      throw invalid(this.#path(this.#depth - 1), `It has to have at most ${MOST_MEMBERS} members.`)
    }
  }

  #takeColon(): void {
    this.#tape.keep()
    this.#next = VALUE
    if (this.#rawDepth > 0) return
    const limit = this.#rules.raw.get((this.#frames[this.#depth - 1] as Frame).name)
    if (limit === undefined) return
    this.#rawDepth = this.#depth
    this.#rawStart = this.#tape.kept
    this.#rawLimit = limit
  }

  #takeKey(): void {
    const tape = this.#tape
    const frame = this.#frames[this.#depth - 1] as Frame
    const start = tape.kept
    tape.string()
    frame.keyStart = start
    frame.keyEnd = tape.kept
    frame.keyEscaped = tape.escaped
    this.#next = COLON
    if (this.#rawDepth > 0) {
      if (tape.unstorable) throw unstorable(this.#path(this.#rawDepth))
    } else {
      this.#count(start, this.#depth - 1)
      frame.name = tape.lastString(start)
    }
    if (
      tape.kept - start === 11 &&
      tape.bytes.toString('latin1', start, tape.kept) === '"__proto__"'
    )
      throw invalid(this.#path(this.#depth), 'The key "__proto__" is not allowed.')
    if (frame.repeats(tape.bytes, start, tape.kept))
      throw invalid(this.#path(this.#depth), 'The key occurs twice in one object.')
  }

  #takeValue(byte: number): void {
    const tape = this.#tape
    if (byte === 0x7b || byte === 0x5b) return this.#open(byte === 0x5b)
    if (this.#depth === 0) throw invalid([], 'The body has to be a JSON object.')
    const start = tape.kept
    if (byte === 0x22) tape.string()
    else if (byte === 0x74) tape.literal('true')
    else if (byte === 0x66) tape.literal('false')
    else if (byte === 0x6e) tape.literal('null')
    else if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) tape.number()
    else throw this.#wrong()
    this.#next = COMMA_OR_END
    if (this.#rawDepth === 0) {
      this.#count(start, this.#depth)
      const value = tape.lastValue(byte, start)
      if (value === undefined)
        throw inexact(this.#path(this.#depth), tape.bytes.toString('latin1', start, tape.kept))
      this.#attach(value)
    } else {
      if (byte === 0x22 && tape.unstorable) throw unstorable(this.#path(this.#rawDepth))
      if (this.#rawDepth === this.#depth) this.#endRaw()
    }
  }

  #open(isArray: boolean): void {
    if (this.#depth === 0 && isArray) throw invalid([], 'The body has to be a JSON object.')
    if (this.#depth === this.#rules.depth)
      throw invalid([], `The body is nested deeper than ${this.#rules.depth} levels.`)
    let container: Container | undefined
    if (this.#rawDepth === 0) {
      this.#count(this.#tape.kept, this.#depth)
      container = isArray ? [] : {}
      if (this.#depth > 0) this.#attach(container)
      else this.#body = container as Record<string, unknown>
    }
    this.#tape.keep()
    this.#next = isArray ? VALUE_OR_END : KEY_OR_END
    const frame = (this.#frames[this.#depth] ??= new Frame())
    this.#depth += 1
    frame.begin(isArray, container)
  }

  #close(): void {
    this.#tape.keep()
    this.#depth -= 1
    this.#next = this.#depth === 0 ? NOTHING : COMMA_OR_END
    if (this.#rawDepth > 0 && this.#rawDepth === this.#depth) this.#endRaw()
  }

  #attach(value: unknown): void {
    const { isArray, container, name } = this.#frames[this.#depth - 1] as Frame
    if (isArray) (container as unknown[]).push(value)
    else (container as Record<string, unknown>)[name] = value
  }

  /** Ends a caller's JSON. A null is left out, because absent and null are the same. */
  #endRaw(): void {
    const { bytes, kept } = this.#tape
    const start = this.#rawStart
    if (kept - start > this.#rawLimit) throw tooLarge(this.#path(this.#rawDepth), this.#rawLimit)
    this.#rawDepth = 0
    if (kept - start === 4 && bytes[start] === 0x6e) return
    this.hasRaw = true
    const isText = bytes.length <= TEXT_BYTES
    this.#attach(
      new RawJson(isText ? bytes.toString('utf8', start, kept) : bytes.subarray(start, kept)),
    )
  }

  /** Counts a key or value outside of callers' JSON, which begins at `start`, before anything is made of it. */
  #count(start: number, depth: number): void {
    this.#values += 1
    if (this.#values > MOST_VALUES)
      throw invalid([], `The body has more than ${MOST_VALUES} keys and values of its own.`)
    if (this.#tape.kept - start > MOST_VALUE_BYTES)
      throw invalid(this.#path(depth), `It has to have at most ${MOST_VALUE_BYTES} bytes.`)
  }

  #path(depth: number): Path {
    return pathOf(this.#frames.slice(0, depth), this.#tape)
  }
}
