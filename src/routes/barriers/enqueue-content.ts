import { createHash } from 'node:crypto'
import { z } from 'zod'
import { canonical } from '../../json/canonical.ts'
import { RawJson, stringify } from '../../json/raw.ts'
import { Refusal } from '../../refusals.ts'
import { Enqueue } from './enqueue-body.ts'

type Content = Omit<ReturnType<typeof withDefaults>, 'conflict_policy' | 'generation'>

/** Equal content has equal fingerprints, even if the keys in callers' JSON are in another order. */
export function fingerprintOf(content: Content): string {
  const { callback } = content
  const whole = {
    ...content,
    ...(content.metadata && { metadata: ordered(content.metadata) }),
    callback: callback && {
      ...callback,
      ...(callback.kwargs && { kwargs: ordered(callback.kwargs) }),
      ...(callback.headers && { headers: ordered(callback.headers) }),
    },
  }
  return createHash('sha256').update(stringify(whole)).digest('hex')
}

function ordered(json: RawJson): RawJson {
  return new RawJson(canonical(json.text))
}

/** The content as it is stored and compared: with every default, and with the percentage as a count. */
export function withDefaults(body: z.output<typeof Enqueue>, totalLimit: number) {
  const { callback, tolerated_failure_percentage: percentage, ...rest } = body
  const { total } = body
  if (total > totalLimit) {
    const message = `has to be at most ${totalLimit}, got ${total}; ROLLCALL_TOTAL_LIMIT sets the limit`
    throw new Refusal('invalid_request', {
      detail: `total ${message}.`,
      errors: [{ path: 'total', message }],
    })
  }
  const tolerated_failure_count =
    percentage === undefined
      ? (body.tolerated_failure_count ?? 0)
      : Math.floor((total * percentage) / 100)
  if (!callback) return { ...rest, tolerated_failure_count, callback }
  const { events = ['completed'], priority = 5, ...wish } = callback
  return {
    ...rest,
    tolerated_failure_count,
    callback: { ...wish, events: events.toSorted(), priority },
  }
}
