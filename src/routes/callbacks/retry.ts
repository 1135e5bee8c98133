import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { BatchesParams } from '../batches/batch.ts'
import { CallersJson, type Routes } from '../execution.ts'
import { bodyRefusals, refusedWith } from '../problem.ts'
import { repliedWith } from '../reply.ts'
import { Callback, CallbackToken } from './callback.ts'

const schema = {
  summary: 'Give a callback back, to be due again',
  operationId: 'retryCallback',
  tags: ['callbacks'],
  params: BatchesParams,
  body: z.strictObject({
    token: CallbackToken,
    delay_seconds: z
      .int()
      .min(0)
      .max(86_400)
      .default(0)
      .meta({ format: 'int32', description: 'How long nobody gets it.' }),
    error: CallersJson.optional().describe('Any JSON that tells why; 1,000 characters are kept.'),
  }),
  response: {
    200: repliedWith('It is due again, by this call or before.', Callback),
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
  outcome: 'given_back' | RefusalCode
  generation?: number
  callback_state?: string
  reply: RawJson
}

const sql = statement('retry.sql', import.meta.url)

export const retry: Routes = async app => {
  app.post('/executions/:execution_id/callback/retry', { schema }, async request => {
    const { namespace, params, body } = request
    const ask = { namespace, ...params, ...body }
    const { outcome, reply, ...truth } = await app.ask<Answer>(sql, ask, { waits: true })
    if (outcome !== 'given_back') throw new Refusal(outcome, truth)
    if (body.delay_seconds === 0) app.closings.announce({ namespace, ...params })
    return reply
  })
}
