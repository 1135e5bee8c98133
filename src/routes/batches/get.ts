import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { QueryGeneration } from '../parameters.ts'
import type { Routes } from '../plugin.ts'
import { refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { Batch, BatchParams } from './batch.ts'

const schema = {
  summary: 'Read a batch',
  operationId: 'getBatch',
  tags: ['batches'],
  params: BatchParams,
  querystring: z.strictObject({ generation: QueryGeneration }),
  response: {
    200: repliedWith('The batch. It is unclaimed while nobody has claimed it.', Batch),
    ...refusedWith(
      'batch_not_found',
      'execution_not_found',
      'stale_generation',
      'batches_forgotten',
    ),
  },
}

interface Answer {
  outcome: 'found' | RefusalCode
  generation?: number
  reply: RawJson
}

const sql = statement('get.sql', import.meta.url)

export const getBatch: Routes = async app => {
  app.get('/executions/:execution_id/batches/:batch_index', { schema }, async request => {
    const { namespace, params, query } = request
    const { outcome, reply, ...truth } = await app.ask<Answer>(sql, {
      namespace,
      ...params,
      ...query,
    })
    if (outcome !== 'found') throw new Refusal(outcome, truth)
    return reply
  })
}
