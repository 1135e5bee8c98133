import { z } from 'zod'
import { Int32, Moment } from '../fields.ts'
import { CallbackEvent } from './wish.ts'

/** What the receiver is told, whichever way; put together by callback_message() in Postgres. */
export const Message = z
  .object({
    type: z.enum(['barrier.completed', 'barrier.aborted', 'barrier.expired']),
    timestamp: Moment.describe('When the barrier closed.'),
    data: z.object({
      execution_id: z.string(),
      generation: Int32.describe('Compare it: a message of a replaced run may still arrive.'),
      state: CallbackEvent,
      reason: z.string().nullable().describe('Why it ended early.'),
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
        .describe('In index order; left out when they are too large.'),
      missing: z
        .array(z.object({ batch_index: Int32, owner: z.string().nullable(), attempt: Int32 }))
        .optional()
        .describe('Of an expired run: the first 1,000 batches that are not in.'),
      results_url: z.string().describe('Where all results are read, page by page.'),
    }),
  })
  .meta({ id: 'Message', description: 'The same on every attempt, byte by byte.' })
