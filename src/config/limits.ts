import { integer, KiB, MiB } from './values.ts'

/** How large requests, barriers and callbacks may be. */
export const limits = {
  ROLLCALL_BODY_LIMIT_BYTES: integer(KiB, 256 * MiB)
    .default(MiB)
    .describe('Largest request body.'),
  ROLLCALL_BULK_BODY_LIMIT_BYTES: integer(KiB, 256 * MiB)
    .default(16 * MiB)
    .describe('Largest request body on the bulk routes.'),
  ROLLCALL_BODIES_LIMIT_BYTES: integer(MiB, 16 * 1024 * MiB)
    .default(32 * MiB)
    .describe(
      'Size of all request bodies held at once, but at least of the largest one; further bodies wait, then get 503 overloaded.',
    ),
  ROLLCALL_RESULT_LIMIT_BYTES: integer(1, 64 * MiB)
    .default(256 * KiB)
    .describe('Largest result of one batch, as JSON text.'),
  ROLLCALL_ERROR_LIMIT_BYTES: integer(1, 64 * MiB)
    .default(16 * KiB)
    .describe('Largest error of one batch, as JSON text.'),
  ROLLCALL_JSON_DEPTH_LIMIT: integer(1, 1000)
    .default(100)
    .describe('Deepest nesting of a request body.'),
  ROLLCALL_TOTAL_LIMIT: integer(1, 10_000_000)
    .default(1_000_000)
    .describe('Most batches of one barrier.'),
  ROLLCALL_INLINE_RESULTS_BYTES: integer(0, 16 * MiB)
    .default(MiB)
    .describe(
      'Largest results that a callback carries itself; larger ones are fetched from its results_url.',
    ),
}
