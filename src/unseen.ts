/**
 * The characters that make text look like another one on a terminal or in a list: controls, line breaks, characters that
 * turn the direction of text, and characters without width. The joiners U+200C and U+200D are not among them, because Persian,
 * the scripts of India and many emoji need them. It is the inside of a character class, in a form that all dialects of regular
 * expressions share.
 */
const UNSEEN = String.raw`\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb`

/** The pattern in the OpenAPI document for text without these characters. */
export const SEEN_PATTERN = `^[^${UNSEEN}]*$`

const unseen = new RegExp(`[${UNSEEN}]`)
const everyUnseen = new RegExp(unseen, 'g')

/** The code point of the first such character in the text. */
export function unseenIn(text: string): string | undefined {
  const at = text.search(unseen)
  return at === -1 ? undefined : `U+${hexOf(text.charAt(at)).toUpperCase()}`
}

/** The text with a space in place of each such character. */
export function blankUnseen(text: string): string {
  return text.replace(everyUnseen, ' ')
}

/** The same JSON with each such character written as its escape. */
export function escapeUnseen(json: string): string {
  return json.replace(everyUnseen, character => String.raw`\u${hexOf(character)}`)
}

function hexOf(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(4, '0')
}
