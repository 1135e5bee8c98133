import { blankUnseen } from '../unseen.ts'

/** Characters of a response that are kept: enough to recognise an error page. */
const MOST_CHARACTERS = 200

/**
 * The first 200 characters of a stranger's bytes, fit for a log, a terminal and Postgres, which stores neither NUL nor a
 * lone surrogate. A character that cannot be shown becomes a space, and bytes that are not UTF-8 become U+FFFD.
 */
export function excerptOf(bytes: Uint8Array): string {
  const text = blankUnseen(new TextDecoder().decode(bytes))
  return Array.from(text).slice(0, MOST_CHARACTERS).join('')
}
