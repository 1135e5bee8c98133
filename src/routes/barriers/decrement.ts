import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { isSettled, Refusal, type RefusalCode } from '../../refusals.ts'
import { nonce } from '../../database/nonce.ts'
import { Attempt, Status, Token } from '../fields.ts'
import { outcomeFields, resultOrError, resultOrErrorOnly } from '../batches/batch.ts'
import { compareRecorded } from '../batches/same.ts'
import { Generation, Int32 } from '../fields.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { BarrierParams, counts } from './barrier.ts'
import { BarrierState } from '../fields.ts'

const member = { batch_index: Int32, token: Token.optional(), ...outcomeFields }

const ClosedByThis = z
  .boolean()
  .describe('True in one reply, which may be lost: act on the callback only.')

const Counted = z
  .object({
    outcome: z.enum(['recorded', 'duplicate']),
    batch_index: Int32,
    status: Status.describe('What is recorded of the batch.'),
    same: z.boolean().optional().describe('Of a duplicate: whether it brought what is recorded.'),
    generation: Int32,
    state: BarrierState,
    ...counts,
    closed_by_this: ClosedByThis,
    settled: z.literal(true),
  })
  .meta({
    id: 'Counted',
    description: 'The batch is recorded and counted, by this call or before.',
  })

const RefusedDecrement = z
  .object({
    outcome: z.literal('refused'),
    batch_index: Int32,
    code: z.enum(['batch_out_of_range', 'stale_token', 'stale_generation', 'barrier_closed']),
    status: Status.optional().describe('What is recorded of the batch, if anything.'),
    attempt: Attempt.optional(),
    generation: Int32,
    state: BarrierState,
    reason: z.string().nullable().optional().describe('Why the barrier ended early.'),
    ...counts,
    settled: z.boolean().describe('Whether to acknowledge the message all the same.'),
  })
  .meta({
    id: 'RefusedDecrement',
    description: 'A member that alone would be refused with this code.',
  })

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
    200: repliedWith('It is counted, by this call or before.', Counted),
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
      'One for each batch, in the order sent, and the barrier after all of them.',
      z.object({
        batches: z.array(z.discriminatedUnion('outcome', [Counted, RefusedDecrement])),
        generation: Int32,
        state: BarrierState,
        ...counts,
        closed_by_this: ClosedByThis,
      }),
    ),
    ...refusedWith('execution_not_found', 'stale_generation', ...bodyRefusals),
  },
}

/** Of a call for a closed barrier whose batches are not kept: the usual sentence could be untrue. */
const FORGOTTEN =
  'The barrier is closed and its batches are forgotten; whether this one was counted is not known any more.'

interface Answer {
  outcome: 'recorded' | 'duplicate' | RefusalCode
  batch_index: number
  status?: string
  generation: number
  state: string
  remaining: number
  total: number
  succeeded: number
  failed: number
  closed_by_this: boolean
  same?: boolean
  /** Of a duplicate that may be the same all the same. */
  recorded?: RawJson
  /** The batches of the closed barrier are not kept any more. */
  forgotten?: true
  /** Of the one that closed it, for the log. */
  callback_id?: string
}

const sql = statement('decrement.sql', import.meta.url, { locksBarrier: true })

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

export const decrementMany: Routes = async app => {
  const run = app.coalesce<Answer>(sql)

  app.post(
    '/executions/:execution_id/barrier/decrements',
    { schema: manySchema, bodyLimit: app.limits.bulkBytes },
    async request => {
      const { namespace, params, body } = request
      const { batches, generation } = body
      const answers = await run(
        batches.map(batch => ({
          namespace,
          ...params,
          generation,
          status: 'succeeded',
          ...batch,
          nonce: nonce(),
        })),
      )
      await compareRecorded(answers, batches)
      const whole = answers.find(answer => isOfWholeCall(answer, generation))
      if (whole)
        throw new Refusal(whole.outcome as RefusalCode, {
          generation: whole.generation,
          settled: isSettled(whole.outcome, undefined),
        })
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

/** Whether it is a refusal of the call, and not of one member that shows a token of an older generation. */
function isOfWholeCall({ outcome, generation }: Answer, asked: number | undefined): boolean {
  if (outcome === 'stale_generation') return asked !== undefined && asked < generation
  return outcome === 'execution_not_found'
}

function counted({ outcome, callback_id: _id, ...answer }: Answer): object {
  if (outcome === 'recorded' || outcome === 'duplicate')
    return { outcome, ...answer, settled: true }
  const { closed_by_this: _closing, forgotten: _forgotten, ...truth } = answer
  const settled = isSettled(outcome, answer.status)
  return { outcome: 'refused', code: outcome, ...truth, settled }
}
