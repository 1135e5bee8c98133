import { z } from 'zod'
import { nonce } from '../../database/nonce.ts'
import { statement } from '../../database/statement.ts'
import { isSettled, Refusal } from '../../refusals.ts'
import { outcomeFields, resultOrError, resultOrErrorOnly } from '../batches/batch.ts'
import { compareRecorded } from '../batches/same.ts'
import { Generation, Int32, Token } from '../fields.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { BarrierParams } from './barrier.ts'
import { type Answer, Counted } from './decrement-reply.ts'

export const member = { batch_index: Int32, token: Token.optional(), ...outcomeFields }

const schema = {
  summary: 'Record the outcome of a batch and count it',
  operationId: 'decrementBarrier',
  tags: ['barriers'],
  params: BarrierParams,
  body: z
    .strictObject({ ...member, generation: Generation.optional() })
    .superRefine(resultOrError)
    .meta(resultOrErrorOnly),
  response: {
    200: repliedWith('The batch is counted, by this call or by an earlier one.', Counted),
    ...refusedWith(
      'execution_not_found',
      'stale_token',
      'stale_generation',
      'barrier_closed',
      'batch_out_of_range',
      ...bodyRefusals,
    ),
  },
}

/** The detail for a closed barrier whose batches are not kept: the usual sentence could be untrue. */
const FORGOTTEN =
  'The barrier is closed and its batches are forgotten; nothing shows any more whether this one was counted.'

export const sql = statement('decrement.sql', import.meta.url, { locksBarrier: true })

export const decrement: Routes = async app => {
  const run = app.coalesce<Answer>(sql)

  app.post('/executions/:execution_id/barrier/decrement', { schema }, async request => {
    const { namespace, params, body } = request
    const answers = await run([
      { namespace, ...params, status: 'succeeded', ...body, nonce: nonce() },
    ])
    if (answers[0].recorded) await compareRecorded(answers, [body])
    const [{ callback_id, ...answer }] = answers
    if (answer.closed_by_this) app.ends.closed({ namespace, ...params, ...answer, callback_id })
    if (answer.outcome === 'recorded' || answer.outcome === 'duplicate')
      return { ...answer, settled: true }
    const { outcome, closed_by_this: _, forgotten, ...truth } = answer
    const settled = isSettled(outcome, truth.status)
    throw new Refusal(outcome, { ...truth, settled, ...(forgotten && { detail: FORGOTTEN }) })
  })
}
