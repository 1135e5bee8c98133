import { z } from 'zod'
import type { RawJson } from '../../json/raw.ts'
import { never } from '../never.ts'
import { CallersJson, ShortText, Text } from '../text.ts'
import { hasHost, hostOf } from './host.ts'

/** At most this many bytes of `kwargs` and `headers` together. */
const MOST_DATA_BYTES = 64 * 1024

export const CallbackEvent = z.enum(['completed', 'aborted', 'expired'])

/** A queue is there as soon as somebody names it. */
export const Queue = ShortText

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

function bytesOf(json: RawJson | undefined): number {
  return json?.bytes ?? 0
}
