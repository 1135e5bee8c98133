import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { NextCursor, notOfThisList, positionOf, QueryCursor, toCursor } from '../cursor.ts'
import { BatchState, Int32 } from '../fields.ts'
import { QueryGeneration, QueryLimit } from '../parameters.ts'
import type { Routes } from '../plugin.ts'
import { refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { Batch, BatchesParams } from './batch.ts'

const Position = z.strictObject({ generation: Int32, after: Int32 })

const schema = {
  summary: 'List batches in index order',
  operationId: 'listBatches',
  tags: ['batches'],
  params: BatchesParams,
  querystring: z.strictObject({
    state: BatchState.optional().describe('Only batches in this state.'),
    generation: QueryGeneration,
    cursor: QueryCursor,
    limit: QueryLimit,
  }),
  response: {
    200: repliedWith('One page.', z.object({ data: z.array(Batch), next_cursor: NextCursor })),
    ...refusedWith('execution_not_found', 'stale_generation', 'batches_forgotten'),
  },
}

interface Answer {
  outcome: 'found' | RefusalCode
  generation: number
  data: RawJson
  next_after?: number
}

const sql = statement('list.sql', import.meta.url)

export const listBatches: Routes = async app => {
  app.get('/executions/:execution_id/batches', { schema }, async request => {
    const { namespace, params, query } = request
    const { cursor, state, limit: page = 100 } = query
    const list = { route: 'batches', ...params, state }
    const begin = positionOf(cursor, list, Position)
    if (begin && query.generation !== undefined && query.generation !== begin.generation)
      throw notOfThisList('generation')
    // A list goes on in the generation in which it began; generation 0 has no barrier that could be replaced.
    const generation = query.generation ?? (begin?.generation || undefined)
    const answer = await app.ask<Answer>(sql, {
      namespace,
      ...params,
      generation,
      state,
      after: begin?.after ?? -1,
      page,
    })
    if (answer.outcome !== 'found')
      throw new Refusal(answer.outcome, { generation: answer.generation })
    const { data, next_after: after } = answer
    const next_cursor =
      after === undefined ? null : toCursor(list, { generation: answer.generation, after })
    return { data, next_cursor }
  })
}
