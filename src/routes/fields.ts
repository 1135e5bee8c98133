import { z } from 'zod'
import { NO_NUL } from './text.ts'

export const MOST_INT4 = 2_147_483_647

export const Int32 = z.int().min(0).max(MOST_INT4).meta({ format: 'int32' })

export const Generation = z.int().min(1).max(MOST_INT4).meta({
  format: 'int32',
  description: 'The run that enqueue returned; older is fenced, left out is the current.',
})

export const Moment = z.iso.datetime().meta({
  description: 'RFC 3339 in UTC, microseconds.',
  examples: ['2026-11-23T09:30:00.123456Z'],
})

/** Of a reply that says when to come back. */
export const RetryAfter = z
  .int()
  .min(1)
  .max(MOST_INT4)
  .meta({ format: 'int32', description: 'Seconds to stay away.' })

export const Token = z
  .string()
  .min(1)
  .max(128)
  .refine(
    token => token.isWellFormed() && !token.includes('\0'),
    'has to be a token that a claim returned',
  )
  .meta({ description: 'The token that the claim returned.', pattern: NO_NUL })

export const Attempt = Int32.describe('How often the batch was granted.')

export const Status = z.enum(['succeeded', 'failed'])

export const BatchState = z.enum(['unclaimed', 'claimed', 'succeeded', 'failed'])

export const BarrierState = z.enum(['open', 'completed', 'aborted', 'expired'])

export const CallbackState = z.enum(['none', 'due', 'delivering', 'delivered', 'dead'])
