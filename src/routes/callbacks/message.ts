import { z } from 'zod'
import { Int32, Moment } from '../fields.ts'
import { CallbackEvent } from './wish.ts'

/** The message that the receiver gets, posted or pulled; callback_message() in Postgres builds it. */
export const Message = z
  .object({
    type: z.enum(['barrier.completed', 'barrier.aborted', 'barrier.expired']),
    timestamp: Moment.describe('When the barrier closed.'),
    data: z.object({
      execution_id: z.string(),
      generation: Int32.describe(
        'Compare it with the current one: a message of a replaced run may still arrive.',
      ),
      state: CallbackEvent,
      reason: z.string().nullable().describe('The reason why the barrier ended early.'),
      total: Int32,
      succeeded: Int32,
      failed: Int32,
      task_name: z.string().nullable(),
      kwargs: z.unknown(),
      headers: z.unknown(),
      metadata: z.unknown(),
      results: z
        .array(
          z.object({
            batch_index: Int32,
            status: z.enum(['succeeded', 'failed']),
            result: z.unknown().optional(),
            error: z.unknown().optional(),
          }),
        )
        .optional()
        .describe('The results in index order; left out when they are too large.'),
      missing: z
        .array(z.object({ batch_index: Int32, owner: z.string().nullable(), attempt: Int32 }))
        .optional()
        .describe('Only for an expired barrier: the first 1,000 batches without an outcome.'),
      results_url: z
        .string()
        .describe('The URL or path at which all results are read, page by page.'),
    }),
  })
  .meta({
    id: 'Message',
    description: 'The message; it is the same on every attempt, byte for byte.',
  })
