/** Members that hold a caller's JSON, wherever a body has them, and how many bytes each may have. */
export type RawLimits = ReadonlyMap<string, number>

export interface Rules {
  depth: number
  raw: RawLimits
}

/** Outside of callers' JSON a body has at most so many members in an array, … */
export const MOST_MEMBERS = 1_000
/** … so many keys and values (1,000 results with each field take 9,000), … */
export const MOST_VALUES = 20_000
/** … and so many bytes in one string or number: the longest URL, every character of it escaped, has 12 KiB. */
export const MOST_VALUE_BYTES = 16 * 1024
