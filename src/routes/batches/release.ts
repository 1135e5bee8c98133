import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { Attempt, Int32, Token } from '../fields.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { BatchParams } from './batch.ts'

const schema = {
  summary: 'Give a batch back for the next delivery',
  operationId: 'releaseBatch',
  tags: ['batches'],
  params: BatchParams,
  body: z.strictObject({ token: Token }),
  response: {
    200: repliedWith(
      'The batch is free again for the next delivery.',
      z.object({ outcome: z.literal('released'), generation: Int32, attempt: Attempt }),
    ),
    ...refusedWith(
      'batch_not_found',
      'stale_token',
      'stale_generation',
      'barrier_closed',
      ...bodyRefusals,
    ),
  },
}

interface Answer {
  outcome: 'released' | RefusalCode
  generation: number
  attempt: number
}

export const release: Routes = async app => {
  const run = app.coalesce<Answer>(statement('release.sql', import.meta.url))

  app.post('/executions/:execution_id/batches/:batch_index/release', { schema }, async request => {
    const { namespace, params, body } = request
    const [{ outcome, ...truth }] = await run([{ namespace, ...params, ...body }])
    if (outcome !== 'released') throw new Refusal(outcome, truth)
    return { outcome, generation: truth.generation, attempt: truth.attempt }
  })
}
