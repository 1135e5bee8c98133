import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { nonce } from '../../database/nonce.ts'
import { BarrierState, Generation, Int32 } from '../fields.ts'
import type { Routes } from '../plugin.ts'
import { Text } from '../text.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { BarrierParams, counts } from './barrier.ts'

const schema = {
  summary: 'End a barrier early',
  operationId: 'abortBarrier',
  tags: ['barriers'],
  params: BarrierParams,
  body: z.strictObject({
    reason: Text.min(1)
      .max(1000)
      .default('Aborted without a reason.')
      .describe('The reason, for people to read.'),
    generation: Generation.optional(),
  }),
  response: {
    200: repliedWith(
      'The barrier is closed, by this call or by an earlier one.',
      z.object({
        outcome: z.enum(['aborted', 'already_closed']),
        generation: Int32,
        state: BarrierState,
        reason: z.string().nullable().describe('The reason why the barrier ended early.'),
        ...counts,
      }),
    ),
    ...refusedWith('execution_not_found', 'stale_generation', ...bodyRefusals),
  },
}

interface Answer {
  outcome: 'aborted' | 'already_closed' | RefusalCode
  generation: number
  state: string
  callback_id?: string
  reply: RawJson
}

const sql = statement('abort.sql', import.meta.url, { locksBarrier: true })

export const abort: Routes = async app => {
  app.post('/executions/:execution_id/barrier/abort', { schema }, async request => {
    const { namespace, params, body } = request
    const ask = { namespace, ...params, ...body, nonce: nonce() }
    const { outcome, reply, ...barrier } = await app.ask<Answer>(sql, ask)
    if (outcome === 'aborted') app.ends.closed({ namespace, ...params, ...barrier })
    if (outcome === 'aborted' || outcome === 'already_closed') return reply
    throw new Refusal(outcome, { generation: barrier.generation })
  })
}
