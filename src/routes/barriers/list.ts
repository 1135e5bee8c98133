import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { NextCursor, positionOf, QueryCursor, toCursor } from '../cursor.ts'
import { ExecutionId, ShortText } from '../text.ts'
import { QueryLimit } from '../parameters.ts'
import type { Routes } from '../plugin.ts'
import { refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { Barrier } from './barrier.ts'
import { BarrierState } from '../fields.ts'

/** The moment stays text, so that no microsecond is lost. */
const Position = z.strictObject({
  created_at: z.iso.datetime({ precision: 6 }).refine(moment => moment >= '1970'),
  execution_id: ExecutionId,
})

/** The rules of an execution id, except that '.' and '..' are allowed: an id may begin with them. */
const Prefix = ShortText.meta({
  description: 'The beginning of the ids, 1 to 255 bytes.',
  examples: ['invoices-'],
})

const schema = {
  summary: 'List executions, newest first, or in order of id if a prefix is given',
  description: `Each page is of its own moment. A run that is replaced is new again: newest first, it then stands before the \
pages that were read, and a caller that reads on does not meet it. With \`state\`, the same is so of a run whose state \
changes. Ask again from the start, or with a \`prefix\` and without a \`state\`: every run that is there all the time is met once.`,
  operationId: 'listExecutions',
  tags: ['barriers'],
  querystring: z.strictObject({
    state: BarrierState.optional().describe('Only barriers in this state.'),
    prefix: Prefix.optional(),
    cursor: QueryCursor,
    limit: QueryLimit,
  }),
  response: {
    200: repliedWith('One page.', z.object({ data: z.array(Barrier), next_cursor: NextCursor })),
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
    const list = { route: 'executions', state, prefix }
    const after = positionOf(cursor, list, Position)
    const { data, next_created_at, next_execution_id } = await app.ask<Answer>(sql, {
      namespace,
      state,
      prefix,
      after_created_at: after?.created_at,
      after_execution_id: after?.execution_id,
      page,
    })
    const next_cursor =
      next_execution_id === undefined
        ? null
        : toCursor(list, { created_at: next_created_at, execution_id: next_execution_id })
    return { data, next_cursor }
  })
}
