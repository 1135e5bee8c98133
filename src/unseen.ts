/**
 * The characters that make text read as something else than it is, on a terminal or in a list: controls, breaks of lines,
 * what turns the direction of text, and what takes no room. The joiners U+200C and U+200D are none of them, because
 * Persian, the scripts of India and many emoji are spelled with them. A class of regular expressions, in the spelling that their
 * dialects share.
 */
const UNSEEN = String.raw`\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb`

/** What the OpenAPI document says of text without them. */
export const SEEN_PATTERN = `^[^${UNSEEN}]*$`

const unseen = new RegExp(`[${UNSEEN}]`)
const everyUnseen = new RegExp(unseen, 'g')

/** The first of them in the text, by its code point. */
export function unseenIn(text: string): string | undefined {
  const at = text.search(unseen)
  return at === -1 ? undefined : `U+${hexOf(text.charAt(at)).toUpperCase()}`
}

/** The text with a space in place of each. */
export function blankUnseen(text: string): string {
  return text.replace(everyUnseen, ' ')
}

/** JSON with each as its escape, which is the same JSON. */
export function escapeUnseen(json: string): string {
  return json.replace(everyUnseen, character => String.raw`\u${hexOf(character)}`)
}

function hexOf(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(4, '0')
}
