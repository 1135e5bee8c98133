import { z } from 'zod'

export const KiB = 1024
export const MiB = 1024 * KiB

/** In seconds. */
export const DAY = 86_400
export const YEAR = 365 * DAY

/** Digits only: an environment variable is text, and "" or "1e3" or " 5" is not a number here. */
export function integer(minimum: number, maximum: number) {
  return z
    .string()
    .regex(/^\d+$/, 'a whole number in digits')
    .transform(Number)
    .pipe(z.int().min(minimum).max(maximum))
}

/** The items between separators; none when the variable is not set. */
export function list(separator: RegExp, isItem: (text: string) => boolean, rule: string) {
  return z
    .string()
    .prefault('')
    .transform(text => (text === '' ? [] : text.trim().split(separator)))
    .refine(items => items.every(isItem), rule)
}

/** True or false, in these words. */
export const flag = z.enum(['true', 'false']).transform(word => word === 'true')
