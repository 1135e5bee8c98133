import type { FastifyBaseLogger } from 'fastify'
import type { RawJson } from '../../json/raw.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'

/** The row that the statements of ack, retry and redeliver return. */
export interface CallbackAnswer {
  outcome: 'delivered' | 'due' | RefusalCode
  generation?: number
  attempt?: number
  callback_id?: string
  callback_state?: string
  reply: RawJson
}

/** Logs the outcome and returns the callback as it is now, or throws the refusal with its facts. */
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
