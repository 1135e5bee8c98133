import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { Callback, CallbackParams } from './callback.ts'
import { type CallbackAnswer, replyOf } from './answer.ts'

const schema = {
  summary: 'Make a callback due now, with the same id and message',
  operationId: 'redeliverCallback',
  tags: ['callbacks'],
  params: CallbackParams,
  body: z.strictObject({}),
  response: {
    200: repliedWith(
      'The callback is due now, in whatever state it was; tokens of earlier leases are void.',
      Callback,
    ),
    ...refusedWith('execution_not_found', 'callback_not_found', ...bodyRefusals),
  },
}

// A repeat after a lost connection could send a callback again that was delivered meanwhile.
const sql = statement('redeliver.sql', import.meta.url, { repeatable: false, locksBarrier: true })

export const redeliverCallback: Routes = async app => {
  app.post('/executions/:execution_id/callback/redeliver', { schema }, async request => {
    const { namespace, params } = request
    const answer = await app.ask<CallbackAnswer>(sql, { namespace, ...params })
    const reply = replyOf(request, answer, 'A callback was made due by redeliver.')
    app.ends.notify({ namespace, ...params })
    return reply
  })
}
