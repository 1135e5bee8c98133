import { z } from 'zod'
import { BarrierState, CallbackState, Int32, Moment } from '../fields.ts'
import { counts } from './barrier.ts'

export const Enqueued = z
  .object({
    outcome: z.enum(['created', 'existing']),
    execution_id: z.string(),
    generation: Int32,
    state: BarrierState,
    ...counts,
    created_at: Moment,
    expires_at: Moment,
    callback: z.object({ state: CallbackState }),
    replaced: z
      .object({
        generation: Int32,
        state: BarrierState,
        remaining: Int32,
        callback_state: CallbackState,
      })
      .nullable()
      .describe('The run that this call replaced.'),
  })
  .meta({ id: 'Enqueued', description: 'The barrier, created or found.' })
