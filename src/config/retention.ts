import { DAY, integer, YEAR } from './values.ts'

/** How often the reaper runs, and how long rows are kept once they are over. */
export const retention = {
  ROLLCALL_REAPER_REST_SECONDS: integer(1, 3600)
    .default(5)
    .describe('How long the reaper rests once it has nothing to do.'),
  ROLLCALL_EXHAUSTED_GRACE_SECONDS: integer(0, DAY)
    .default(60)
    .describe(
      'How long the last attempt may still record an outcome after its lease ended. Then the reaper records `attempts_exhausted`.',
    ),
  ROLLCALL_RETAIN_CLAIMS_SECONDS: integer(60, 10 * YEAR)
    .default(DAY)
    .describe('How long a claim without a barrier is kept after its last sign of life.'),
  ROLLCALL_RETAIN_REPLACED_SECONDS: integer(60, 10 * YEAR)
    .default(DAY)
    .describe('How long the batches of a replaced generation are kept.'),
  ROLLCALL_RETAIN_BATCHES_SECONDS: integer(60, 10 * YEAR)
    .default(7 * DAY)
    .describe(
      'How long batches are kept after the barrier closed and its callback settled; also how long a callback waits in a queue.',
    ),
  ROLLCALL_RETAIN_TOMBSTONES_SECONDS: integer(60, 10 * YEAR)
    .default(30 * DAY)
    .describe('How long a closed barrier is kept; at least as long as its batches.'),
}
