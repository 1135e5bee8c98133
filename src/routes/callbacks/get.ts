import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { Int32, Moment, type Routes } from '../execution.ts'
import { BatchesParams } from '../batches/batch.ts'
import { refusedWith } from '../problem.ts'
import { repliedWith } from '../reply.ts'
import { CallbackState, KeptCallback } from './callback.ts'

const schema = {
  summary: 'Read the callback of an execution',
  operationId: 'getCallback',
  tags: ['callbacks'],
  params: BatchesParams,
  response: {
    200: repliedWith(
      'The callback of the current generation.',
      z.object({
        execution_id: z.string(),
        generation: Int32,
        callback_id: z
          .string()
          .nullable()
          .describe('The same on every attempt; null until it is due.'),
        state: CallbackState,
        due_at: Moment.nullable(),
        callback: KeptCallback,
        attempts: z.array(z.unknown()),
      }),
    ),
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
