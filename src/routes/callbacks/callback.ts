import { z } from 'zod'
import { CallbackState, Int32, Moment, Token } from '../fields.ts'
import { ExecutionId } from '../text.ts'
import { CallbackEvent } from './wish.ts'

export const CallbackParams = z.strictObject({ execution_id: ExecutionId })

/** The callback that enqueue asked for, as it is stored with its defaults. */
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
  .describe('The callback as the producer sent it, with all defaults.')

export const CallbackAttempt = Int32.describe('How many times the callback was leased.')

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
      .describe(
        'The id is the same on every attempt; null until the callback is due for the first time.',
      ),
    state: CallbackState,
    due_at: Moment.nullable().describe('When it became or becomes due; null in every other state.'),
    lease_expires_at: Moment.nullable().describe(
      'When the lease ends; null unless the callback is being delivered.',
    ),
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
            .describe('`unknown` means that the attempt ended without a report.'),
          status: Int32.nullable().describe(
            'The HTTP status of the reply, if the callback was posted and the receiver replied.',
          ),
          error: z.string().nullable().describe('The reason why the attempt failed.'),
          milliseconds: z.int().min(0).nullable().meta({
            format: 'int64',
            description: 'How many milliseconds passed since the lease began.',
          }),
          response: z.string().nullable().describe('The first bytes of the reply of the receiver.'),
        }),
      )
      .describe('The newest 20 attempts, oldest first.'),
  })
  .meta({ id: 'Callback', description: 'The callback of the current generation.' })
