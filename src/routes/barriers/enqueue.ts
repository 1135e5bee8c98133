import { z } from 'zod'
import { nonce } from '../../database/nonce.ts'
import { statement } from '../../database/statement.ts'
import { RawJson } from '../../json/raw.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { hostOf } from '../callbacks/host.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { IdempotencyKey } from '../text.ts'
import { BarrierParams } from './barrier.ts'
import { Enqueue } from './enqueue-body.ts'
import { fingerprintOf, withDefaults } from './enqueue-content.ts'
import { Enqueued } from './enqueue-reply.ts'

const schema = {
  summary: 'Create the barrier of an execution, before its messages are published',
  operationId: 'enqueueBarrier',
  tags: ['barriers'],
  params: BarrierParams,
  headers: IdempotencyKey,
  body: Enqueue,
  response: {
    200: repliedWith('The barrier that was already there.', Enqueued),
    201: repliedWith('A new barrier, or a new generation of it.', Enqueued, {
      Location: z.string().describe('The path of the barrier.'),
    }),
    ...refusedWith(
      'barrier_exists',
      'stale_generation',
      'enqueue_mismatch',
      'callback_url_refused',
      'execution_not_found',
      ...bodyRefusals,
    ),
  },
}

interface Answer {
  outcome: 'created' | 'existing' | RefusalCode
  generation: number
  state: string
  callback_id?: string
  reply: RawJson
}

const sql = statement('enqueue.sql', import.meta.url, { locksBarrier: true })

export const enqueue: Routes = async app => {
  app.post('/executions/:execution_id/barrier/enqueue', { schema }, async (request, reply) => {
    const { namespace, params, body, headers } = request
    const { conflict_policy, generation, ...content } = withDefaults(body, app.limits.total)
    if (content.callback?.url !== undefined) app.mustBeCallable(content.callback.url)
    const answer = await app.ask<Answer>(sql, {
      namespace,
      ...params,
      ...content,
      nonce: nonce(),
      enqueue_key: headers['idempotency-key'],
      conflict_policy,
      generation,
      fingerprint: fingerprintOf(content),
      callback_host: content.callback?.url && hostOf(content.callback.url),
      callback_events: content.callback?.events,
    })
    if (answer.outcome !== 'created' && answer.outcome !== 'existing') {
      throw new Refusal(answer.outcome, { generation: answer.generation, state: answer.state })
    }
    if (answer.outcome === 'created') {
      const location = `/executions/${encodeURIComponent(params.execution_id)}/barrier`
      reply.code(201).header('location', location)
      // A total of 0 completes at once; a replace ends the run that other callers wait for.
      if (answer.state !== 'open') app.ends.closed({ namespace, ...params, ...answer })
      else if (answer.generation !== 1) app.ends.notify({ namespace, ...params })
    }
    return answer.reply
  })
}
