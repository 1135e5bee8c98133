import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { isSettled, Refusal, type RefusalCode } from '../../refusals.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { nonce } from '../../database/nonce.ts'
import { compareRecorded } from './same.ts'
import { BatchParams, outcomeFields, resultOrError, resultOrErrorOnly } from './batch.ts'
import { Status, Token } from '../fields.ts'

const schema = {
  summary: 'Record the outcome of a batch that has no barrier',
  operationId: 'finishBatch',
  tags: ['batches'],
  params: BatchParams,
  body: z
    .strictObject({ token: Token, ...outcomeFields })
    .superRefine(resultOrError)
    .meta(resultOrErrorOnly),
  response: {
    200: repliedWith(
      'The outcome is recorded, by this call or by an earlier one.',
      z.object({
        outcome: z.enum(['recorded', 'duplicate']),
        status: Status.describe('The recorded status of the batch.'),
        same: z
          .boolean()
          .optional()
          .describe('Duplicates only: whether this call carried the recorded outcome.'),
        settled: z.literal(true),
      }),
    ),
    ...refusedWith('batch_not_found', 'stale_token', 'barrier_exists', ...bodyRefusals),
  },
}

interface Answer {
  outcome: 'recorded' | 'duplicate' | RefusalCode
  status?: string
  same?: boolean
  /** The recorded outcome, for a duplicate that may be the same with its keys in another order. */
  recorded?: RawJson
}

export const finish: Routes = async app => {
  const run = app.coalesce<Answer>(statement('finish.sql', import.meta.url))

  app.post('/executions/:execution_id/batches/:batch_index/finish', { schema }, async request => {
    const { namespace, params, body } = request
    const ask = { namespace, ...params, status: 'succeeded', ...body, nonce: nonce() }
    const answers = await run([ask])
    if (answers[0].recorded) await compareRecorded(answers, [body])
    const [{ outcome, ...truth }] = answers
    if (outcome !== 'recorded' && outcome !== 'duplicate') {
      throw new Refusal(outcome, { ...truth, settled: isSettled(outcome, truth.status) })
    }
    return { outcome, status: truth.status, same: truth.same, settled: true }
  })
}
