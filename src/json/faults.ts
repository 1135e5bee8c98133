import { Refusal } from '../refusals.ts'
import { RawJson } from './raw.ts'
import { shown } from './shown.ts'

export type Path = readonly (string | number)[]

/** The body, or the member at `path`, breaks a rule. */
export function invalid(path: Path, message: string): Refusal {
  const where = path.join('.')
  return new Refusal('invalid_request', {
    detail: where === '' ? message : `${where}: ${message}`,
    errors: [{ path: where, message }],
  })
}

/** At the byte `at` the body has something other than `wanted`. */
export function notJson(bytes: Buffer, at: number, wanted: string): Refusal {
  if (at >= bytes.length) return invalid([], `The body is not JSON: it ends before ${wanted}.`)
  // The body is UTF-8, as was checked before; a byte of a longer character has no name of its own.
  const byte = bytes[at] as number
  const found =
    byte > 0x20 && byte < 0x7f
      ? String.fromCharCode(byte)
      : `the byte 0x${byte.toString(16).padStart(2, '0')}`
  return invalid([], `The body is not JSON: at byte ${at} is ${found} in place of ${wanted}.`)
}

/** The number at `path` would be read as a number other than its digits say. */
export function inexact(path: Path, digits: string): Refusal {
  const rule = 'It has to be a number that a double keeps with all its digits'
  return invalid(path, `${rule}, got ${shown(new RawJson(digits))}.`)
}

export function unstorable(path: Path): Refusal {
  const where = path.join('.')
  return new Refusal('unstorable_json', {
    detail: `${where} holds a NUL or a lone surrogate, which Postgres cannot store.`,
    errors: [{ path: where, message: 'No NUL and no lone surrogate.' }],
  })
}

export function tooLarge(path: Path, limitBytes: number): Refusal {
  const where = path.join('.')
  return new Refusal('payload_too_large', {
    detail: `${where} has more bytes of JSON than the ${limitBytes} that are taken.`,
    errors: [{ path: where, message: `At most ${limitBytes} bytes of JSON.` }],
  })
}

/** The sender gave the body up; nobody reads this refusal. */
export function notWhole(): Refusal {
  return invalid([], 'The body did not arrive whole.')
}
