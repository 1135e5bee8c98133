import { z } from 'zod'
import { nonce } from '../../database/nonce.ts'
import { isSettled, Refusal, type RefusalCode } from '../../refusals.ts'
import { resultOrError, resultOrErrorOnly } from '../batches/batch.ts'
import { compareRecorded } from '../batches/same.ts'
import { Generation } from '../fields.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { BarrierParams } from './barrier.ts'
import { type Answer, counted, CountedMany } from './decrement-reply.ts'
import { member, sql } from './decrement.ts'

const manySchema = {
  summary: 'Record the outcomes of up to 1,000 batches, as one event',
  operationId: 'decrementBarrierInBulk',
  tags: ['barriers'],
  params: BarrierParams,
  body: z.strictObject({
    generation: Generation.optional(),
    batches: z
      .array(z.strictObject(member).superRefine(resultOrError).meta(resultOrErrorOnly))
      .min(1)
      .max(1000),
  }),
  response: {
    200: repliedWith(
      'One result for each batch, in the order sent, and the barrier after all of them.',
      CountedMany,
    ),
    ...refusedWith('execution_not_found', 'stale_generation', ...bodyRefusals),
  },
}

export const decrementMany: Routes = async app => {
  const run = app.coalesce<Answer>(sql)

  app.post(
    '/executions/:execution_id/barrier/decrements',
    { schema: manySchema, bodyLimit: app.limits.bulkBytes },
    async request => {
      const { namespace, params, body } = request
      const { batches, generation } = body
      const ask = { namespace, ...params, generation, status: 'succeeded' }
      const answers = await run(batches.map(batch => ({ ...ask, ...batch, nonce: nonce() })))
      await compareRecorded(answers, batches)
      const whole = answers.find(answer => isOfWholeCall(answer, generation))
      if (whole) {
        const code = whole.outcome as RefusalCode
        const settled = isSettled(code, undefined)
        throw new Refusal(code, { generation: whole.generation, settled })
      }
      const closing = answers.find(({ closed_by_this }) => closed_by_this)
      if (closing) app.ends.closed({ namespace, ...params, ...closing })
      const [{ state, remaining, total, succeeded, failed, generation: current }] = answers as [
        Answer,
      ]
      return {
        batches: answers.map(counted),
        generation: current,
        state,
        remaining,
        total,
        succeeded,
        failed,
        closed_by_this: closing !== undefined,
      }
    },
  )
}

/** Whether the whole call is refused, and not only one member with a token of an older generation. */
function isOfWholeCall({ outcome, generation }: Answer, asked: number | undefined): boolean {
  if (outcome === 'stale_generation') return asked !== undefined && asked < generation
  return outcome === 'execution_not_found'
}
