import { z } from 'zod'
import { MOST_INT4 } from './fields.ts'

/** A number in a path or query. The text may hold digits only, without leading zeros, and is judged before it becomes a number. */
function digits(minimum: number, maximum: number, description: string) {
  return z
    .string()
    .transform((input, context) => {
      const isNumber = /^(0|[1-9]\d*)$/.test(input)
      const value = Number(input)
      if (isNumber && value >= minimum && value <= maximum) return value
      const message = isNumber
        ? `has to be ${minimum} to ${maximum}`
        : 'has to be digits only, without leading zeros'
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    })
    .meta({ type: 'integer', format: 'int32', minimum, maximum, description })
}

export const PathIndex = digits(0, MOST_INT4, 'The index of the batch, from 0 to total - 1.')

export const QueryGeneration = digits(
  1,
  MOST_INT4,
  'The generation that is meant; a replaced one is refused.',
).optional()

/** This is below the minute after which many proxies give up. */
export const MOST_WAIT_SECONDS = 50

export const QueryWaitSeconds = digits(
  0,
  MOST_WAIT_SECONDS,
  'How many seconds to wait for the barrier to close.',
).optional()

export const MOST_OF_PAGE = 1000

export const QueryLimit = digits(
  1,
  MOST_OF_PAGE,
  'The largest number of members in a page; 100 if left out.',
).optional()
