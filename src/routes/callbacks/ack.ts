import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { Callback, CallbackParams, CallbackToken } from './callback.ts'
import { type CallbackAnswer, replyOf } from './answer.ts'

const schema = {
  summary: 'Acknowledge a pulled callback, which is then delivered',
  operationId: 'ackCallback',
  tags: ['callbacks'],
  params: CallbackParams,
  body: z.strictObject({ token: CallbackToken }),
  response: {
    200: repliedWith('The callback is delivered, by this call or by an earlier one.', Callback),
    ...refusedWith(
      'execution_not_found',
      'callback_not_found',
      'stale_token',
      'stale_generation',
      ...bodyRefusals,
    ),
  },
}

const sql = statement('ack.sql', import.meta.url, { locksBarrier: true })

export const ackCallback: Routes = async app => {
  app.post('/executions/:execution_id/callback/ack', { schema }, async request => {
    const { namespace, params, body } = request
    const ask = { namespace, ...params, ...body }
    return replyOf(request, await app.ask<CallbackAnswer>(sql, ask), 'A callback was acknowledged.')
  })
}
