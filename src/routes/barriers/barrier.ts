import { z } from 'zod'
import { BarrierState, CallbackState, Int32, Moment } from '../fields.ts'
import { ExecutionId } from '../text.ts'

export const BarrierParams = z.strictObject({ execution_id: ExecutionId })

/** The counts of a barrier. `succeeded + failed + remaining = total` is always true. */
export const counts = { total: Int32, succeeded: Int32, failed: Int32, remaining: Int32 }

export const Barrier = z
  .object({
    execution_id: z.string(),
    generation: Int32,
    state: BarrierState,
    reason: z.string().nullable().describe('The reason why the barrier ended early.'),
    ...counts,
    created_at: Moment,
    last_progress_at: Moment,
    expires_at: Moment,
    closed_at: Moment.nullable(),
    callback: z.object({ state: CallbackState }),
  })
  .meta({ id: 'BarrierSummary', description: 'A barrier without its metadata.' })
