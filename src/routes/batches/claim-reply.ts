import { z } from 'zod'
import { Attempt, Int32, Moment, RetryAfter, Status, Token } from '../fields.ts'

const claimed = (now: boolean) => z.literal(now).describe('Whether to work now.')

const settled = (over: boolean) => z.literal(over).describe('Whether to acknowledge the message.')

export const subject = { batch_index: Int32, generation: Int32 }

const held = { attempt: Attempt, lease_expires_at: Moment.nullable() }

export const outcomes = [
  z
    .object({
      outcome: z.literal('granted'),
      claimed: claimed(true),
      settled: settled(false),
      ...subject,
      ...held,
      token: Token,
      replayed: z
        .literal(true)
        .optional()
        .describe('True when an earlier call with this Idempotency-Key was granted.'),
    })
    .meta({ id: 'GrantedClaim', description: 'Work now.' }),
  z
    .object({
      outcome: z.literal('in_progress'),
      claimed: claimed(false),
      settled: settled(false),
      ...subject,
      ...held,
      owner: z.string().nullable(),
      retry_after_seconds: RetryAfter.optional().describe(
        'How many seconds are left of the lease, if there is one.',
      ),
    })
    .meta({
      id: 'ClaimInProgress',
      description: 'Another worker has the batch. Give the message back.',
    }),
  z
    .object({
      outcome: z.literal('finished'),
      claimed: claimed(false),
      settled: settled(true),
      ...subject,
      status: Status,
      result: z.unknown().optional(),
      error: z.unknown().optional(),
      result_omitted: z
        .literal(true)
        .optional()
        .describe('The result is too long for this reply. Read it with GET of the batch.'),
    })
    .meta({
      id: 'FinishedClaim',
      description: 'The batch is already recorded. Acknowledge the message.',
    }),
  z
    .object({
      outcome: z.literal('closed'),
      claimed: claimed(false),
      settled: settled(true),
      ...subject,
      state: z.enum(['completed', 'aborted', 'expired', 'replaced']),
      reason: z.string().nullable(),
    })
    .meta({ id: 'ClosedClaim', description: 'The run is over. Acknowledge the message.' }),
  z
    .object({
      outcome: z.literal('exhausted'),
      claimed: claimed(false),
      settled: settled(true),
      ...subject,
      attempt: Attempt,
    })
    .meta({
      id: 'ExhaustedClaim',
      description:
        'No attempt is left. Acknowledge the message. The holder of the last attempt may record an outcome until the grace time after its lease ends.',
    }),
] as const
