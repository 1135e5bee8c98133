import { z } from 'zod'
import type { RawJson } from '../../json/raw.ts'
import { isSettled, type RefusalCode } from '../../refusals.ts'
import { Attempt, BarrierState, Int32, Status } from '../fields.ts'
import { counts } from './barrier.ts'

export const ClosedByThis = z
  .boolean()
  .describe('True in one reply, which may be lost: act on the callback only.')

export const Counted = z
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

export const RefusedDecrement = z
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

/** What becomes of many, and the barrier after all of them. */
export const CountedMany = z.object({
  batches: z.array(z.discriminatedUnion('outcome', [Counted, RefusedDecrement])),
  generation: Int32,
  state: BarrierState,
  ...counts,
  closed_by_this: ClosedByThis,
})

/** What the statement says of one batch. */
export type Answer = Omit<z.output<typeof Counted>, 'outcome' | 'status' | 'settled'> &
  Partial<Pick<z.output<typeof RefusedDecrement>, 'status' | 'attempt' | 'reason'>> & {
    outcome: z.output<typeof Counted>['outcome'] | RefusalCode
    /** Of a duplicate that may be the same all the same. */
    recorded?: RawJson
    /** The batches of the closed barrier are not kept any more. */
    forgotten?: true
    /** Of the one that closed it, for the log. */
    callback_id?: string
  }

export function counted({ outcome, callback_id: _id, ...answer }: Answer): object {
  if (outcome === 'recorded' || outcome === 'duplicate')
    return { outcome, ...answer, settled: true }
  const { closed_by_this: _closing, forgotten: _forgotten, ...truth } = answer
  const settled = isSettled(outcome, answer.status)
  return { outcome: 'refused', code: outcome, ...truth, settled }
}
