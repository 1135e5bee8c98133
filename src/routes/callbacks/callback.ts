import { z } from 'zod'
import { CallbackState, Int32, Moment, Token } from '../fields.ts'
import { ExecutionId } from '../text.ts'
import { CallbackEvent } from './wish.ts'

export const CallbackParams = z.strictObject({ execution_id: ExecutionId })

/** The wish as it was stored, with its defaults. */
const KeptCallback = z
  .object({
    url: z.string().optional(),
    queue: z.string().optional(),
    events: z.array(CallbackEvent),
    task_name: z.string().optional(),
    kwargs: z.unknown().optional(),
    headers: z.unknown().optional(),
    priority: z.int().min(1).max(10).meta({ format: 'int32' }),
  })
  .describe('As the producer sent it, defaults filled in.')

export const CallbackAttempt = Int32.describe('How often the callback was leased.')

export const CallbackToken = Token.meta({
  description: 'The token that POST /callbacks/claim returned.',
})

export const Callback = z
  .object({
    execution_id: z.string(),
    generation: Int32,
    callback_id: z
      .string()
      .nullable()
      .describe('The same on every attempt; null until it is due for the first time.'),
    state: CallbackState,
    due_at: Moment.nullable().describe('Of a due one: since when, or when it will be.'),
    lease_expires_at: Moment.nullable().describe('Of one that is being delivered.'),
    attempt: CallbackAttempt,
    settled_at: Moment.nullable().describe('When it was delivered or given up.'),
    callback: KeptCallback,
    attempts: z
      .array(
        z.object({
          attempt: CallbackAttempt,
          started_at: Moment,
          outcome: z
            .enum(['delivered', 'failed', 'unknown'])
            .describe('unknown: it ended without a word.'),
          status: Int32.nullable().describe('The HTTP status of the receiver, if it was posted.'),
          error: z.string().nullable().describe('Why it failed.'),
          milliseconds: z
            .int()
            .min(0)
            .nullable()
            .meta({ format: 'int64', description: 'How long it took, from the lease on.' }),
          response: z.string().nullable().describe('How the receiver answered, its first bytes.'),
        }),
      )
      .describe('The newest 20, oldest first.'),
  })
  .meta({ id: 'Callback', description: 'The callback of the current generation.' })
