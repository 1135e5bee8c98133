import { z } from 'zod'
import { Attempt, Int32, Moment } from '../fields.ts'
import { Barrier } from './barrier.ts'

export const BarrierInFull = Barrier.extend({
  metadata: z.unknown().describe('The metadata that enqueue brought.'),
  claimed: Int32.optional().describe('How many batches workers hold; 10,000 means 10,000 or more.'),
  leases_expired: Int32.optional().describe(
    'How many of the claimed batches have a lease that is over; the next delivery takes them over.',
  ),
  unclaimed: Int32.optional().describe(
    'How many batches nobody holds: `remaining` less `claimed`.',
  ),
  claims_counted_in_full: z
    .boolean()
    .optional()
    .describe(
      'Whether fewer than 10,000 batches are claimed. If false, counting stopped there: `claimed` and `leases_expired` are lower bounds, `unclaimed` is an upper bound, and `claims` are the longest held of the counted ones.',
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
    .describe('The 20 claims that are held longest.'),
}).meta({ id: 'Barrier', description: 'The counter over the batches of one execution.' })
