import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json.ts'
import { cursorOf, ExecutionId, QueryLimit, type Routes, toCursor } from '../execution.ts'
import { refusedWith } from '../problem.ts'
import { Barrier, BarrierState } from './barrier.ts'

/** The moment as text, so that no microsecond is lost. */
const Cursor = z.strictObject({ created_at: z.iso.datetime(), execution_id: z.string() })

const schema = {
  summary: 'List executions, newest first; with a prefix in order of id',
  operationId: 'listExecutions',
  tags: ['barriers'],
  querystring: z.strictObject({
    state: BarrierState.optional(),
    prefix: ExecutionId.optional().describe('The bytes that the ids begin with.'),
    cursor: cursorOf(Cursor),
    limit: QueryLimit,
  }),
  response: {
    200: z.object({
      data: z.array(Barrier),
      next_cursor: z
        .string()
        .nullable()
        .describe('Only null ends the list; a page may be empty before that.'),
    }),
    ...refusedWith(),
  },
}

interface Answer {
  data: RawJson
  next_created_at?: string
  next_execution_id?: string
}

const sql = statement('list.sql', import.meta.url)

export const listExecutions: Routes = async app => {
  app.get('/executions', { schema }, async request => {
    const { namespace, query } = request
    const { state, prefix, cursor, limit: page = 100 } = query
    const { data, next_created_at, next_execution_id } = await app.ask<Answer>(sql, {
      namespace,
      state,
      prefix,
      after_created_at: cursor?.created_at,
      after_execution_id: cursor?.execution_id,
      page,
    })
    const next_cursor =
      next_execution_id === undefined
        ? null
        : toCursor({ created_at: next_created_at, execution_id: next_execution_id })
    return { data, next_cursor }
  })
}
