import { RawJson } from './raw.ts'

const MOST_CHARACTERS = 100

/** The beginning of a value as JSON, for people. The rest is not even written, because the value may be a whole body. */
export function shown(value: unknown): string {
  let text = ''
  for (const piece of pieces(value)) {
    text += piece
    if (text.length > 4 * MOST_CHARACTERS) break
  }
  // By code points, so that no pair of surrogates is cut in two.
  return text.replace(new RegExp(`^(.{${MOST_CHARACTERS}}).+$`, 'su'), '$1…')
}

function* pieces(value: unknown): Generator<string> {
  if (value instanceof RawJson) {
    yield value.beginning(8 * MOST_CHARACTERS)
  } else if (typeof value === 'string') {
    yield JSON.stringify(value.slice(0, 8 * MOST_CHARACTERS))
  } else if (Array.isArray(value)) {
    yield '['
    for (const [index, member] of value.entries()) {
      if (index > 0) yield ','
      yield* pieces(member)
    }
    yield ']'
  } else if (typeof value === 'object' && value !== null) {
    yield '{'
    for (const [index, [key, member]] of Object.entries(value).entries()) {
      yield `${index > 0 ? ',' : ''}${JSON.stringify(key.slice(0, 8 * MOST_CHARACTERS))}:`
      yield* pieces(member)
    }
    yield '}'
  } else {
    // JSON has no word for Infinity, which 1e400 is when it arrives here.
    yield String(value)
  }
}
