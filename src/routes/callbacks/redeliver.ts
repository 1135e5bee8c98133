import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { BatchesParams } from '../batches/batch.ts'
import type { Routes } from '../execution.ts'
import { bodyRefusals, refusedWith } from '../problem.ts'
import { repliedWith } from '../reply.ts'
import { Callback } from './callback.ts'

const schema = {
  summary: 'Make a callback due again',
  operationId: 'redeliverCallback',
  tags: ['callbacks'],
  params: BatchesParams,
  body: z.strictObject({}),
  response: {
    200: repliedWith('It is due, or being delivered.', Callback),
    ...refusedWith('execution_not_found', 'callback_not_found', ...bodyRefusals),
  },
}

interface Answer {
  outcome: 'due' | RefusalCode
  reply: RawJson
}

const sql = statement('redeliver.sql', import.meta.url)

export const redeliver: Routes = async app => {
  app.post('/executions/:execution_id/callback/redeliver', { schema }, async request => {
    const { namespace, params } = request
    const { outcome, reply } = await app.ask<Answer>(sql, { namespace, ...params }, { waits: true })
    if (outcome !== 'due') throw new Refusal(outcome)
    app.closings.announce({ namespace, ...params })
    return reply
  })
}
