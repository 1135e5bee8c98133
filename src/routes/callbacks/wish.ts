import { z } from 'zod'
import type { RawJson } from '../../json/raw.ts'
import { never } from '../never.ts'
import { CallersJson, ShortText, Text } from '../text.ts'
import { hasHost, hostOf } from './host.ts'

/** At most this many bytes of `kwargs` and `headers` together. */
const MOST_DATA_BYTES = 64 * 1024

export const CallbackEvent = z.enum(['completed', 'aborted', 'expired'])

/** A queue exists as soon as a callback names it. */
export const Queue = ShortText

/** The events for which a producer wants a callback, the place it goes to, and the data it carries. */
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
        'The http or https URL, with a host, to which the message is POSTed, signed by the rules of Standard Webhooks.',
      ),
    queue: Queue.optional().describe(
      'The queue from which the message is pulled, 1 to 255 bytes. Give either url or queue.',
    ),
    events: z
      .array(CallbackEvent)
      .min(1)
      .refine(events => new Set(events).size === events.length, 'has to hold different events')
      .meta({ uniqueItems: true })
      .optional()
      .describe('The endings for which there is a callback; completed when left out.'),
    task_name: Text.min(1)
      .max(255)
      .optional()
      .describe('The task that the receiver runs; handed on unchanged.'),
    kwargs: CallersJson.optional().describe(
      'Any JSON without NUL and lone surrogates, handed on unchanged.',
    ),
    headers: CallersJson.optional().describe(
      'Like kwargs; they never become HTTP headers. At most 64 KiB together with kwargs.',
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
