const SHORT_ESCAPES: Readonly<Record<number, string>> = {
  0x08: 'b',
  0x09: 't',
  0x0a: 'n',
  0x0c: 'f',
  0x0d: 'r',
  0x22: '"',
  0x5c: '\\',
}

/** The spelling of a character in a string by JSON.stringify: with an escape only where one is needed. */
export function spelled(code: number): string {
  const short = SHORT_ESCAPES[code]
  if (short !== undefined) return `\\${short}`
  const isHalf = code >= 0xd800 && code < 0xe000
  if (code >= 0x20 && !isHalf) return String.fromCodePoint(code)
  return `\\u${code.toString(16).padStart(4, '0')}`
}

export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

/** The value of a hexadecimal digit, or -1. */
export function hexadecimal(byte: number): number {
  if (isDigit(byte)) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
