import { type JSONPath, visit } from 'jsonc-parser'
import { Refusal } from './refusals.ts'

/**
 * JSON that belongs to a caller and passes through as text, so that 12345678901234567890, 0.10 and 1e300 keep
 * every digit. Without insignificant white space; never parsed on its way to Postgres and back.
 */
export class RawJson {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** Leaves a mark that `stringify` fills; NUL occurs in no string that the service accepts. */
  toJSON(): string {
    return `\0${pending.push(this.text) - 1}`
  }
}

let pending: string[] = []

/** `JSON.stringify` that puts the text of every RawJson in its place. Node 20 has no JSON.rawJSON, and later ones refuse objects in it. */
export function stringify(value: unknown): string {
  if (value instanceof RawJson) return value.text
  pending = []
  const text = JSON.stringify(value)
  const raws = pending
  return raws.length === 0
    ? text
    : text.replace(/"\\u0000(\d+)"/g, (_, index: string) => raws[Number(index)] ?? '')
}

/** Members that hold a caller's JSON, wherever a body has them, and how many bytes each may have. */
export type RawLimits = Readonly<Record<string, number>>

/**
 * Reads a body: strict JSON, no key twice in one object, no `__proto__`, bounded depth. The members named in
 * `limits` come back as RawJson, checked for what Postgres cannot store.
 */
export function parseBody(text: string, depthLimit: number, limits: RawLimits): unknown {
  const body = parseStrictly(text)
  if (isPlain(body, text, limits)) return body
  const keysOf: Set<string>[] = []
  let depth = 0
  let raw: { path: JSONPath; depth: number; parts: string[] } | undefined

  const keep = (offset: number, length: number) =>
    raw?.parts.push(text.slice(offset, offset + length))
  const open = (offset: number, length: number) => {
    depth += 1
    if (depth > depthLimit)
      throw invalid('', `The body is nested deeper than ${depthLimit} levels.`)
    keep(offset, length)
  }
  const close = (offset: number, length: number) => {
    depth -= 1
    keep(offset, length)
    endOfValue()
  }
  const endOfValue = () => {
    if (raw?.depth !== depth) return
    replace(body, raw.path, new RawJson(withinLimit(raw.path, raw.parts.join(''), limits)))
    raw = undefined
  }

  visit(text, {
    onObjectBegin(offset, length) {
      open(offset, length)
      keysOf.push(new Set())
    },
    onObjectProperty(name, offset, length, _line, _column, parentPath) {
      const keys = keysOf.at(-1)
      const path = () => [...parentPath(), name]
      if (name === '__proto__') throw invalid(path(), 'The key "__proto__" is not allowed.')
      if (keys?.has(name)) throw invalid(path(), `The key "${name}" occurs twice in one object.`)
      keys?.add(name)
      if (raw) mustBeStorable(name, raw.path)
      keep(offset, length)
      if (!raw && Object.hasOwn(limits, name)) raw = { path: path(), depth, parts: [] }
    },
    onObjectEnd(offset, length) {
      keysOf.pop()
      close(offset, length)
    },
    onArrayBegin: open,
    onArrayEnd: close,
    onLiteralValue(value: unknown, offset, length) {
      if (raw && typeof value === 'string') mustBeStorable(value, raw.path)
      keep(offset, length)
      endOfValue()
    },
    onSeparator(character, offset, length) {
      // The colon between a raw member's name and its value is not part of the value.
      if (character !== ':' || raw?.parts.length) keep(offset, length)
    },
  })
  return body
}

/**
 * Whether nothing more can be wrong with it: it is flat, and has no caller's JSON and no key twice. Without a backslash a quote
 * before a colon ends a key, so there are as many of them as keys, or more; more means a key twice, or a string that begins
 * with a colon. Most bodies are plain, and their second reading would take 6 % of a claim.
 */
function isPlain(body: object, text: string, limits: RawLimits): boolean {
  if (/[[\\]|\{[^]*\{|__proto__/.test(text)) return false
  const names = Object.keys(body)
  return names.length === (text.match(/"\s*:/g)?.length ?? 0) && !names.some(name => name in limits)
}

function parseStrictly(text: string): object {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (error) {
    throw invalid('', `The body is not JSON: ${(error as SyntaxError).message}.`)
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalid('', 'The body has to be a JSON object.')
  }
  return body
}

function replace(body: object, path: JSONPath, value: RawJson): void {
  const holder = path
    .slice(0, -1)
    .reduce<Record<string | number, unknown>>(
      (inner, step) => inner[step] as Record<string | number, unknown>,
      body as Record<string | number, unknown>,
    )
  const name = path.at(-1) ?? ''
  // Absent and null are the same.
  if (value.text === 'null') delete holder[name]
  else holder[name] = value
}

function withinLimit(path: JSONPath, text: string, limits: RawLimits): string {
  const limit = limits[String(path.at(-1))] ?? 0
  const bytes = Buffer.byteLength(text)
  if (bytes <= limit) return text
  const where = path.join('.')
  throw new Refusal('payload_too_large', {
    detail: `${where} has ${bytes} bytes of JSON; at most ${limit} are taken.`,
    errors: [{ path: where, message: `At most ${limit} bytes of JSON, got ${bytes}.` }],
  })
}

function mustBeStorable(text: string, path: JSONPath): void {
  if (text.isWellFormed() && !text.includes('\0')) return
  const where = path.join('.')
  throw new Refusal('unstorable_json', {
    detail: `${where} holds a NUL or a lone surrogate, which Postgres cannot store.`,
    errors: [{ path: where, message: 'No NUL and no lone surrogate.' }],
  })
}

function invalid(path: string | JSONPath, message: string): Refusal {
  const where = typeof path === 'string' ? path : path.join('.')
  return new Refusal('invalid_request', { detail: message, errors: [{ path: where, message }] })
}
