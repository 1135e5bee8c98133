import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { BatchesParams } from '../batches/batch.ts'
import type { Routes } from '../execution.ts'
import { bodyRefusals, refusedWith } from '../problem.ts'
import { repliedWith } from '../reply.ts'
import { Callback, CallbackToken } from './callback.ts'

const schema = {
  summary: 'Acknowledge a callback',
  operationId: 'acknowledgeCallback',
  tags: ['callbacks'],
  params: BatchesParams,
  body: z.strictObject({ token: CallbackToken }),
  response: {
    200: repliedWith('It is delivered, by this call or before.', Callback),
    ...refusedWith(
      'execution_not_found',
      'callback_not_found',
      'stale_generation',
      'stale_token',
      ...bodyRefusals,
    ),
  },
}

interface Answer {
  outcome: 'acknowledged' | RefusalCode
  generation?: number
  callback_state?: string
  reply: RawJson
}

const sql = statement('ack.sql', import.meta.url)

export const ack: Routes = async app => {
  app.post('/executions/:execution_id/callback/ack', { schema }, async request => {
    const { namespace, params, body } = request
    const ask = { namespace, ...params, ...body }
    const { outcome, reply, ...truth } = await app.ask<Answer>(sql, ask, { waits: true })
    if (outcome !== 'acknowledged') throw new Refusal(outcome, truth)
    return reply
  })
}
