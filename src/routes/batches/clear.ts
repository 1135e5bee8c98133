import { z } from 'zod'
import { isTooSlow } from '../../database/fault.ts'
import { statement } from '../../database/statement.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { Int32 } from '../fields.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
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
      'The batches are forgotten.',
      z.object({ cleared: Int32.describe('How many batches were forgotten; it may be 0.') }),
    ),
    ...refusedWith('barrier_open', 'callback_pending', ...bodyRefusals),
  },
}

interface Answer {
  outcome: 'cleared' | 'replaced' | RefusalCode
  state?: string
  generation: number
  cleared: number
  more: boolean
}

/** How many batches one statement forgets. With small results it takes a second or less. */
export const MOST_CLEARED = 20_000

// A repeat after a lost connection could clear batches that were claimed meanwhile.
const sql = statement('clear.sql', import.meta.url, { repeatable: false, locksBarrier: true })

export const clear: Routes = async app => {
  app.delete('/executions/:execution_id/batches', { schema }, async request => {
    const { namespace, params } = request
    let most = MOST_CLEARED
    /** A step that takes too long is rolled back and tried again at half its size. */
    const step = async (begun?: number): Promise<Answer> => {
      try {
        return await app.ask<Answer>(sql, { namespace, ...params, most, begun })
      } catch (error) {
        if (!isTooSlow(error) || most === 1) throw error
        most = Math.floor(most / 2)
        return step(begun)
      }
    }
    const { outcome, state, generation, ...first } = await step()
    if (outcome !== 'cleared')
      throw new Refusal(outcome as RefusalCode, state === undefined ? {} : { state, generation })
    let { cleared, more } = first
    while (more) {
      // If the run was replaced meanwhile, the step clears nothing: retention forgets the batches of a replaced run.
      const next = await step(generation).catch((error: unknown) => {
        throw error instanceof Refusal ? error.inDoubt() : error
      })
      cleared += next.cleared
      more = next.more
    }
    return { cleared }
  })
}
