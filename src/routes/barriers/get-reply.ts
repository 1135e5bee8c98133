import { z } from 'zod'
import { Attempt, Int32, Moment } from '../fields.ts'
import { Barrier } from './barrier.ts'

export const BarrierInFull = Barrier.extend({
  metadata: z.unknown().describe('As enqueue brought it.'),
  claimed: Int32.optional().describe(
    'Batches that somebody holds; 10,000 stand for 10,000 or more.',
  ),
  leases_expired: Int32.optional().describe('Of these, the next delivery takes over.'),
  unclaimed: Int32.optional().describe(
    'Batches that nobody holds: those that remain, less `claimed`.',
  ),
  claims_counted_in_full: z
    .boolean()
    .optional()
    .describe(
      'Whether fewer than 10,000 are claimed. When false, counting stopped there: `claimed` and `leases_expired` say at least, `unclaimed` says at most, and `claims` are the longest held of those that were counted.',
    ),
  claims: z
    .array(
      z.object({
        batch_index: Int32,
        owner: z.string().nullable(),
        attempt: Attempt,
        claimed_at: Moment,
        lease_expires_at: Moment.nullable(),
      }),
    )
    .optional()
    .describe('The 20 held longest.'),
}).meta({ id: 'Barrier', description: 'The counter over the batches of one execution.' })
