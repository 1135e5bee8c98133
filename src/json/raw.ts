/**
 * JSON that belongs to a caller and passes through as it was sent, so that 12345678901234567890, 0.10 and 1e300 keep
 * every digit. It has no insignificant white space and the fewest escapes, and is never parsed on its way to Postgres and
 * back. In a large body it is a part of the bytes that arrived, not a copy of them.
 */
export class RawJson {
  readonly #json: string | Buffer

  constructor(json: string | Buffer) {
    this.#json = json
  }

  get text(): string {
    return this.#json.toString()
  }

  get bytes(): number {
    return Buffer.byteLength(this.#json)
  }

  /** The first `characters` of it, or a few less. */
  beginning(characters: number): string {
    return typeof this.#json === 'string'
      ? this.#json.slice(0, characters)
      : this.#json.toString('utf8', 0, characters)
  }

  /** Leaves a mark that `encode` fills; NUL occurs in no string that the service accepts. */
  toJSON(): string {
    return `\0${pending.push(this.#json) - 1}`
  }
}

let pending: (string | Buffer)[] = []

const mark = /"\\u0000(\d+)"/

/**
 * `JSON.stringify` that puts every RawJson in its place; the text comes as bytes if a RawJson does. Node 20 has no
 * JSON.rawJSON, and that of later versions refuses objects.
 */
export function encode(value: unknown): string | Buffer {
  pending = []
  const text = JSON.stringify(value)
  const raws = pending
  pending = []
  if (raws.length === 0) return text
  if (raws.every(raw => typeof raw === 'string')) {
    return text.replaceAll(new RegExp(mark, 'g'), (_, index: string) => raws[Number(index)] ?? '')
  }
  // Every second piece is the number of a mark.
  const pieces = text
    .split(mark)
    .map((piece, at) => (at % 2 === 0 ? piece : (raws[Number(piece)] ?? '')))
  return Buffer.concat(
    pieces.map(piece => (typeof piece === 'string' ? Buffer.from(piece) : piece)),
  )
}

/** Like `encode`, but always a string. */
export function stringify(value: unknown): string {
  return value instanceof RawJson ? value.text : encode(value).toString()
}
