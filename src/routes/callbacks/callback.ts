import { z } from 'zod'
import { Status, Token } from '../batches/batch.ts'
import { CallersJson, Int32, Moment } from '../execution.ts'

export const CallbackState = z.enum(['none', 'due', 'delivering', 'delivered', 'dead'])

/** At most this many bytes of `kwargs` and `headers` together. */
const MOST_DATA_BYTES = 64 * 1024

const CallbackEvent = z.enum(['completed', 'aborted', 'expired'])

const text = (most: number) =>
  z
    .string()
    .min(1)
    .max(most)
    .refine(
      value => value.isWellFormed() && !/\p{Cc}/u.test(value),
      'has to be without control characters',
    )

export const Queue = text(255).refine(
  queue => Buffer.byteLength(queue) <= 255,
  'has to have 1 to 255 bytes',
)

/** What a producer wants to be told, where, and with which words of its own. */
export const CallbackWish = z
  .strictObject({
    url: z
      .string()
      .max(2048)
      .refine(
        url => /^https?:\/\/[^\p{Cc}\s]+$/iu.test(url) && url.isWellFormed() && URL.canParse(url),
        'has to be an http or https URL',
      )
      .optional()
      .describe('Where the message is POSTed, signed as Standard Webhooks asks.'),
    queue: Queue.optional().describe('Or the queue it is pulled from.'),
    events: z
      .array(CallbackEvent)
      .min(1)
      .refine(events => new Set(events).size === events.length, 'has to hold different events')
      .meta({ uniqueItems: true })
      .optional()
      .describe('Which ends are told; completed when left out.'),
    task_name: text(255).optional().describe('Which task the receiver runs; handed on.'),
    kwargs: CallersJson.optional().describe('Any JSON, handed on.'),
    headers: CallersJson.optional().describe('Any JSON, handed on; never HTTP headers.'),
    priority: z
      .int()
      .min(1)
      .max(10)
      .optional()
      .meta({ format: 'int32', description: '5 when left out.' }),
  })
  .refine(
    ({ url, queue }) => (url === undefined) !== (queue === undefined),
    'has to have url or queue, not both',
  )
  .refine(({ kwargs, headers }) => bytesOf(kwargs) + bytesOf(headers) <= MOST_DATA_BYTES, {
    path: ['kwargs'],
    message: 'has to have, together with headers, at most 65536 bytes',
  })

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

export const CallbackToken = Token.describe('The token of the lease.')

export const Attempt = Int32.describe('How often it was leased.')

export const Callback = z
  .object({
    execution_id: z.string(),
    generation: Int32,
    callback_id: z.string().nullable().describe('The same on every attempt; null until it is due.'),
    state: CallbackState,
    due_at: Moment.nullable().describe('Of one that is due: since when, or when it will be.'),
    lease_expires_at: Moment.nullable().describe('Of one that is being delivered.'),
    settled_at: Moment.nullable().describe('When it was delivered, or given up.'),
    attempt: Attempt,
    callback: KeptCallback,
    attempts: z
      .array(
        z.object({
          attempt: Attempt,
          started_at: Moment,
          outcome: z.enum(['delivered', 'failed', 'unknown']),
          status: Int32.nullable().describe('The HTTP status, if there was one.'),
          error: z.string().nullable().describe('The class of error, or what the puller said.'),
          milliseconds: Int32.nullable(),
          response: z.string().nullable().describe('The first 200 characters of the reply.'),
        }),
      )
      .describe('The newest 20, oldest first.'),
  })
  .meta({ id: 'Callback', description: 'How the end of a run reaches its receiver.' })

/** What a receiver is sent, and a puller gets. */
export const Message = z
  .object({
    type: z.enum(['barrier.completed', 'barrier.aborted', 'barrier.expired']),
    timestamp: Moment.describe('When the barrier closed.'),
    data: z.object({
      execution_id: z.string(),
      generation: Int32,
      state: z.enum(['completed', 'aborted', 'expired']),
      reason: z.string().nullable(),
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
            status: Status,
            result: z.unknown().optional(),
            error: z.unknown().optional(),
          }),
        )
        .optional()
        .describe('In index order; left out when they are too large.'),
      missing: z
        .array(z.object({ batch_index: Int32, owner: z.string().nullable(), attempt: Int32 }))
        .optional()
        .describe('Of an expired run: the first 1,000 batches that were not recorded.'),
      results_url: z.string().describe('Where the results are, page by page.'),
    }),
  })
  .meta({ id: 'CallbackMessage', description: 'The end of a run, as it is told.' })

function bytesOf(json: { text: string } | undefined): number {
  return json ? Buffer.byteLength(json.text) : 0
}
