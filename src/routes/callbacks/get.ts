import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import type { Routes } from '../plugin.ts'
import { refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { Callback, CallbackParams } from './callback.ts'

const schema = {
  summary: 'Read the callback of an execution',
  operationId: 'getCallback',
  tags: ['callbacks'],
  params: CallbackParams,
  response: {
    200: repliedWith('The callback of the current generation.', Callback),
    ...refusedWith('execution_not_found', 'callback_not_found'),
  },
}

interface Answer {
  outcome: 'found' | RefusalCode
  reply: RawJson
}

const sql = statement('get.sql', import.meta.url)

export const getCallback: Routes = async app => {
  app.get('/executions/:execution_id/callback', { schema }, async request => {
    const { namespace, params } = request
    const { outcome, reply } = await app.ask<Answer>(sql, { namespace, ...params })
    if (outcome !== 'found') throw new Refusal(outcome)
    return reply
  })
}
