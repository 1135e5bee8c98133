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
      'They are forgotten.',
      z.object({ cleared: Int32.describe('How many; 0 is fine.') }),
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

/** Batches that one statement forgets, in a second or less where their results are small. */
export const MOST_CLEARED = 20_000

// A repeat after a lost connection could clear what was claimed meanwhile.
const sql = statement('clear.sql', import.meta.url, { repeatable: false, locksBarrier: true })

export const clear: Routes = async app => {
  app.delete('/executions/:execution_id/batches', { schema }, async request => {
    const { namespace, params } = request
    let most = MOST_CLEARED
    /** A step that takes too long is rolled back, and tried at half its size. */
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
      // Replaced meanwhile, it clears nothing: what is left belongs to an older run, which retention forgets.
      const next = await step(generation).catch((error: unknown) => {
        throw error instanceof Refusal ? error.inDoubt() : error
      })
      cleared += next.cleared
      more = next.more
    }
    return { cleared }
  })
}
