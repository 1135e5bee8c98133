import { Refusal, type RefusalCode, type RefusalMembers } from '../src/refusals.ts'
import { barriers } from './examples/barriers.ts'
import { batches } from './examples/batches.ts'
import { callbacks } from './examples/callbacks.ts'
import type { Examples } from './examples/run.ts'

/** One run of three invoices in requests and replies, by operation. A test checks each against its schema. */
export const examples: Record<string, Examples> = {
  isAlive: { replies: { 200: { alive: { status: 'alive' } } } },
  isReady: { replies: { 200: { ready: { status: 'ready' } } } },
  isHealthy: { replies: { 200: { ready: { status: 'ready' } } } },
  ...batches,
  ...barriers,
  ...callbacks,
}

/** The further members of a refusal, where they belong to the same run. */
const told: Partial<Record<RefusalCode, RefusalMembers>> = {
  invalid_request: {
    detail: 'lease_seconds: Too small: expected number to be >=5, got 3.',
    errors: [{ path: 'lease_seconds', message: 'Too small: expected number to be >=5, got 3.' }],
  },
  barrier_open: { state: 'open', generation: 1 },
  barrier_closed: { state: 'aborted', reason: 'The invoices were recalled.', generation: 1 },
  callback_pending: { state: 'completed', generation: 1 },
  stale_token: { status: 'succeeded', generation: 1, attempt: 2, settled: true },
  stale_generation: { generation: 2 },
  batches_forgotten: { generation: 1 },
  batch_out_of_range: { batch_index: 3, total: 3, generation: 1 },
  internal_error: { effect: 'unknown', request_id: 'req-1f' },
}

/** The body of a refusal as the service itself makes it. */
export function problemExample(code: RefusalCode): Record<string, unknown> {
  return new Refusal(code, told[code]).problem
}
