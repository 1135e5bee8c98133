/** The kinds of text that may come next in JSON. */
export const VALUE = 0
export const VALUE_OR_END = 1
export const KEY = 2
export const KEY_OR_END = 3
export const COLON = 4
export const COMMA_OR_END = 5
export const NOTHING = 6

/** The name of each, for messages. */
export const WANTED = [
  'a value',
  'a value',
  'a key',
  'a key',
  'a colon',
  'a comma or the end',
  'its end',
] as const
