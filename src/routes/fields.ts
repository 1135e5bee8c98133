import { z } from 'zod'
import { NO_NUL } from './text.ts'

export const MOST_INT4 = 2_147_483_647

export const Int32 = z.int().min(0).max(MOST_INT4).meta({ format: 'int32' })

export const Generation = z.int().min(1).max(MOST_INT4).meta({
  format: 'int32',
  description:
    'The generation that enqueue returned. A call for an older one is refused; without it the current one is meant.',
})

export const Moment = z.iso.datetime().meta({
  description: 'A moment in RFC 3339, in UTC, with microseconds.',
  examples: ['2026-11-23T09:30:00.123456Z'],
})

/** The header of a reply that says when to come back. */
export const RetryAfter = z
  .int()
  .min(1)
  .max(MOST_INT4)
  .meta({ format: 'int32', description: 'How many seconds to wait before the next call.' })

export const Token = z
  .string()
  .min(1)
  .max(128)
  .refine(
    token => token.isWellFormed() && !token.includes('\0'),
    'has to be a token that a claim returned',
  )
  .meta({ description: 'The token that the claim returned.', pattern: NO_NUL })

export const Attempt = Int32.describe('How many times the batch was granted.')

export const Status = z.enum(['succeeded', 'failed'])

export const BatchState = z.enum(['unclaimed', 'claimed', 'succeeded', 'failed'])

export const BarrierState = z.enum(['open', 'completed', 'aborted', 'expired'])

export const CallbackState = z.enum(['none', 'due', 'delivering', 'delivered', 'dead'])
