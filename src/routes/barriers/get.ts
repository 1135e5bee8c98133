import { z } from 'zod'
import { SharedReads } from '../../database/shared-reads.ts'
import { statement } from '../../database/statement.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { QueryGeneration, QueryWaitSeconds } from '../parameters.ts'
import type { Routes } from '../plugin.ts'
import { refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { BarrierParams } from './barrier.ts'
import { BarrierInFull } from './get-reply.ts'

const schema = {
  summary: 'Read a barrier, or wait for its end',
  operationId: 'getBarrier',
  tags: ['barriers'],
  params: BarrierParams,
  querystring: z.strictObject({
    wait_seconds: QueryWaitSeconds,
    generation: QueryGeneration,
    detail: z
      .enum(['claims'])
      .optional()
      .describe(
        'With `claims` the reply also shows which worker holds which batch, and so why the barrier is not done. Callers share such a reply, so all of it except state and generation may be a second old.',
      ),
  }),
  response: {
    200: repliedWith(
      'The barrier as it is now; with `wait_seconds`, as it was when it closed or the wait ended.',
      BarrierInFull,
    ),
    ...refusedWith('execution_not_found', 'stale_generation'),
  },
}

interface Answer {
  outcome: 'found' | RefusalCode
  generation: number
  state: string
}

export const getBarrier: Routes = async app => {
  const sql = statement('get.sql', import.meta.url)
  const run = app.coalesce<Answer>(sql)
  const inDetail = new SharedReads<Answer>(app.database.waitMs)

  app.get('/executions/:execution_id/barrier', { schema }, async (request, reply) => {
    const { namespace, params, query } = request
    const { wait_seconds = 0, generation, detail } = query
    const ask = { namespace, ...params, generation, claims: false }
    const read = async () => (await run([ask]))[0]
    const waiter = app.ends.wait(ask)
    reply.onGone(waiter.leave)
    const deadline = performance.now() + wait_seconds * 1000
    try {
      let answer = await read()
      const { generation: waitedFor } = answer
      let woken = wait_seconds > 0
      while (
        woken &&
        answer.outcome === 'found' &&
        answer.state === 'open' &&
        answer.generation === waitedFor
      ) {
        woken = await waiter.woken(waitedFor, deadline)
        answer = await read()
      }
      const barrier = barrierOf(answer)
      if (detail === undefined) return barrier
      // The key holds the state just read, so a caller that saw a barrier closed or replaced never gets an older reply.
      const key = JSON.stringify([ask, barrier.generation, barrier.state])
      const asked = { ...ask, claims: true }
      return barrierOf(await inDetail.read(key, () => app.ask<Answer>(sql, asked)))
    } finally {
      waiter.leave()
    }
  })
}

function barrierOf({ outcome, ...barrier }: Answer): Omit<Answer, 'outcome'> {
  if (outcome !== 'found') throw new Refusal(outcome, { generation: barrier.generation })
  return barrier
}
