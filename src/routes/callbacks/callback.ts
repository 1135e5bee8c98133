import { z } from 'zod'
import { CallersJson } from '../execution.ts'

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
    queue: text(255)
      .refine(queue => Buffer.byteLength(queue) <= 255, 'has to have 1 to 255 bytes')
      .optional()
      .describe('Or the queue it is pulled from.'),
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
export const KeptCallback = z
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

function bytesOf(json: { text: string } | undefined): number {
  return json ? Buffer.byteLength(json.text) : 0
}
