import type { FastifyBaseLogger } from 'fastify'
import { isIP } from 'node:net'
import { z } from 'zod'
import type { RawJson } from '../../json/raw.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { Token } from '../batches/batch.ts'
import { CallersJson, ExecutionId, Int32, Moment, ShortText, Text } from '../execution.ts'
import { never } from '../never.ts'

export const CallbackParams = z.strictObject({ execution_id: ExecutionId })

export const CallbackState = z.enum(['none', 'due', 'delivering', 'delivered', 'dead'])

/** At most this many bytes of `kwargs` and `headers` together. */
const MOST_DATA_BYTES = 64 * 1024

const CallbackEvent = z.enum(['completed', 'aborted', 'expired'])

/** A queue is there as soon as somebody names it. */
export const Queue = ShortText

/** Host and port of a URL, however it is spelled: each has a few slots of its own. */
export function hostOf(url: string): string {
  const { hostname, port } = new URL(url)
  return `${hostname.replace(/\.$/, '')}${port && `:${port}`}`
}

/** An address, or labels of 1 to 63 characters that a name server could be asked for, 253 together; one dot may end it. */
function hasHost(url: string): boolean {
  const { hostname } = new URL(url)
  if (isIP(hostname.replace(/^\[(.*)\]$/, '$1'))) return true
  const name = hostname.replace(/\.$/, '')
  return name.length <= 253 && /^[\w-]{1,63}(\.[\w-]{1,63})*$/.test(name)
}

/** What a producer wants to be told, where, and with which words of its own. */
export const CallbackWish = z
  .strictObject({
    url: Text.max(2048)
      .refine(
        url => /^https?:\/\/[^\s\\/?#][^\s\\]*$/i.test(url) && URL.canParse(url),
        'has to be an http or https URL',
      )
      .refine(
        url => !URL.canParse(url) || (hasHost(url) && hostOf(url).length <= 255),
        'has to have a host: an address, or a name of labels with 1 to 63 letters, digits, - and _, at most 255 characters with its port',
      )
      .optional()
      .describe(
        'An http or https URL with a host: where the message is POSTed, signed as Standard Webhooks asks.',
      ),
    queue: Queue.optional().describe(
      'Or the queue it is pulled from, of 1 to 255 bytes; one of both, not both.',
    ),
    events: z
      .array(CallbackEvent)
      .min(1)
      .refine(events => new Set(events).size === events.length, 'has to hold different events')
      .meta({ uniqueItems: true })
      .optional()
      .describe('Which ends are told; completed when left out.'),
    task_name: Text.min(1).max(255).optional().describe('Which task the receiver runs; handed on.'),
    kwargs: CallersJson.optional().describe('Any JSON without NUL and lone surrogates, handed on.'),
    headers: CallersJson.optional().describe(
      'The same, never HTTP headers; with kwargs to 64 KiB.',
    ),
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
  .meta(
    never({ required: ['url', 'queue'] }, { properties: { url: { not: {} }, queue: { not: {} } } }),
  )

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

/** What the statements of ack, retry and redeliver return. */
export interface CallbackAnswer {
  outcome: 'delivered' | 'due' | RefusalCode
  generation?: number
  attempt?: number
  callback_id?: string
  callback_state?: string
  reply: RawJson
}

/** The callback as it is now, and a line in the log; or the refusal with its truth. */
export function replyOf(
  { log, params }: { log: FastifyBaseLogger; params: { execution_id: string } },
  { outcome, reply, callback_id, ...truth }: CallbackAnswer,
  sentence: string,
): RawJson {
  if (outcome === 'delivered' || outcome === 'due') {
    log.info({ ...params, generation: truth.generation, callback_id }, sentence)
    return reply
  }
  if (outcome === 'stale_generation') throw new Refusal(outcome, { generation: truth.generation })
  if (outcome === 'callback_not_found' && truth.callback_state !== undefined)
    throw new Refusal(outcome, {
      callback_state: truth.callback_state,
      detail: 'The callback is not due: the barrier is open, or closed by another event.',
    })
  throw new Refusal(outcome, outcome === 'stale_token' ? truth : {})
}

function bytesOf(json: RawJson | undefined): number {
  return json?.bytes ?? 0
}
