import { z } from 'zod'
import type { RawJson } from '../../json/raw.ts'
import { isSettled, type RefusalCode } from '../../refusals.ts'
import { Attempt, BarrierState, Int32, Status } from '../fields.ts'
import { counts } from './barrier.ts'

const ClosedByThis = z
  .boolean()
  .describe(
    'Whether this call closed the barrier. It is true in one reply, which may be lost, so act only on the callback.',
  )

export const Counted = z
  .object({
    outcome: z.enum(['recorded', 'duplicate']),
    batch_index: Int32,
    status: Status.describe('The recorded status of the batch.'),
    same: z
      .boolean()
      .optional()
      .describe('Duplicates only: whether this call carried the recorded outcome.'),
    generation: Int32,
    state: BarrierState,
    ...counts,
    closed_by_this: ClosedByThis,
    settled: z.literal(true),
  })
  .meta({
    id: 'Counted',
    description: 'The batch is recorded and counted, by this call or by an earlier one.',
  })

export const RefusedDecrement = z
  .object({
    outcome: z.literal('refused'),
    batch_index: Int32,
    code: z.enum(['batch_out_of_range', 'stale_token', 'stale_generation', 'barrier_closed']),
    status: Status.optional().describe('The recorded status of the batch, if there is one.'),
    attempt: Attempt.optional(),
    generation: Int32,
    state: BarrierState,
    reason: z.string().nullable().optional().describe('The reason why the barrier ended early.'),
    ...counts,
    settled: z
      .boolean()
      .describe('Whether to acknowledge the message although the call was refused.'),
  })
  .meta({
    id: 'RefusedDecrement',
    description: 'This member, as a call of its own, would be refused with this code.',
  })

/** The outcome of each batch of a call, and the barrier after all of them. */
export const CountedMany = z.object({
  batches: z.array(z.discriminatedUnion('outcome', [Counted, RefusedDecrement])),
  generation: Int32,
  state: BarrierState,
  ...counts,
  closed_by_this: ClosedByThis,
})

/** The row of the statement for one batch. */
export type Answer = Omit<z.output<typeof Counted>, 'outcome' | 'status' | 'settled'> &
  Partial<Pick<z.output<typeof RefusedDecrement>, 'status' | 'attempt' | 'reason'>> & {
    outcome: z.output<typeof Counted>['outcome'] | RefusalCode
    /** The recorded outcome, for a duplicate that may be the same with its keys in another order. */
    recorded?: RawJson
    /** True when the batches of the closed barrier are not kept any more. */
    forgotten?: true
    /** For the log; only the call that closed the barrier has it. */
    callback_id?: string
  }

export function counted({ outcome, callback_id: _id, ...answer }: Answer): object {
  if (outcome === 'recorded' || outcome === 'duplicate')
    return { outcome, ...answer, settled: true }
  const { closed_by_this: _closing, forgotten: _forgotten, ...truth } = answer
  const settled = isSettled(outcome, answer.status)
  return { outcome: 'refused', code: outcome, ...truth, settled }
}
