import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { Int32, type Routes } from '../execution.ts'
import { bodyRefusals, refusedWith } from '../problem.ts'
import { repliedWith } from '../reply.ts'
import { BatchesParams } from './batch.ts'

const schema = {
  summary: 'Forget the batches of an execution',
  operationId: 'clearBatches',
  tags: ['batches'],
  params: BatchesParams,
  body: z.strictObject({}),
  response: {
    200: repliedWith(
      'They are forgotten.',
      z.object({ cleared: Int32.describe('How many; 0 is fine.') }),
    ),
    ...refusedWith('barrier_open', 'callback_pending', ...bodyRefusals),
  },
}

interface Answer {
  outcome: 'cleared' | RefusalCode
  state?: string
  generation?: number
  cleared: number
  more: boolean
}

/** Batches that one statement forgets, in a second or less. */
const MOST = 100_000

const sql = statement('clear.sql', import.meta.url)

export const clear: Routes = async app => {
  app.delete('/executions/:execution_id/batches', { schema }, async request => {
    const { namespace, params } = request
    const asked = { namespace, ...params, most: MOST }
    for (let cleared = 0; ;) {
      // Once: a repeat after a lost connection could clear what was claimed meanwhile.
      const { outcome, state, generation, ...step } = await app.ask<Answer>(sql, asked, {
        once: true,
        waits: true,
      })
      // Replaced between two steps: what is left belongs to an older run, which retention forgets.
      if (outcome !== 'cleared' && cleared === 0) throw new Refusal(outcome, { state, generation })
      cleared += step.cleared
      if (!step.more) return { cleared }
    }
  })
}
