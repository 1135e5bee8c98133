import { claimed_at, type Examples, invoice, lease_expires_at, subject, token } from './run.ts'

const work = { claimed: true, settled: false }
const wait = { claimed: false, settled: false }
const over = { claimed: false, settled: true }
const granted = { outcome: 'granted', ...work, ...subject, attempt: 1, lease_expires_at, token }

const batch = {
  ...subject,
  state: 'succeeded',
  attempt: 1,
  owner: 'worker-7',
  claimed_at,
  lease_expires_at: null,
  recorded_at: '2026-11-23T09:30:41.500000Z',
  result: invoice,
  error: null,
}

export const batches: Record<string, Examples> = {
  claimBatch: {
    request: {
      with_a_lease: { lease_seconds: 60, owner: 'worker-7' },
      for_one_generation: { lease_seconds: 60, owner: 'worker-7', generation: 1 },
      until_it_is_recorded: {},
    },
    replies: {
      200: {
        granted,
        granted_again_to_the_same_call: { ...granted, replayed: true },
        in_progress: {
          outcome: 'in_progress',
          ...wait,
          ...subject,
          attempt: 1,
          owner: 'worker-7',
          lease_expires_at,
          retry_after_seconds: 42,
        },
        finished: {
          outcome: 'finished',
          ...over,
          ...subject,
          status: 'succeeded',
          result: invoice,
        },
        closed: {
          outcome: 'closed',
          ...over,
          ...subject,
          state: 'aborted',
          reason: 'The invoices were recalled.',
        },
        exhausted: { outcome: 'exhausted', ...over, ...subject, attempt: 5 },
      },
    },
  },
  claimBatches: {
    request: { two: { batch_indexes: [0, 3], lease_seconds: 60, owner: 'worker-7' } },
    replies: {
      200: {
        one_granted_one_refused: {
          claims: [
            granted,
            {
              outcome: 'refused',
              claimed: false,
              settled: false,
              code: 'batch_out_of_range',
              batch_index: 3,
              generation: 1,
              total: 3,
            },
          ],
        },
      },
    },
  },
  heartbeatBatch: {
    request: { as_before: { token }, longer: { token, lease_seconds: 300 } },
    replies: { 200: { extended: { lease_expires_at } } },
  },
  releaseBatch: {
    request: { given_back: { token } },
    replies: { 200: { released: { outcome: 'released', generation: 1, attempt: 1 } } },
  },
  finishBatch: {
    request: {
      succeeded: { token: '0.1.qJk3Vd0xS0u1n2cQm8rV6w', result: invoice },
      failed: {
        token: '0.1.qJk3Vd0xS0u1n2cQm8rV6w',
        status: 'failed',
        error: { message: 'The file is encrypted.' },
      },
    },
    replies: {
      200: {
        recorded: { outcome: 'recorded', status: 'succeeded', settled: true },
        duplicate: { outcome: 'duplicate', status: 'succeeded', same: true, settled: true },
      },
    },
  },
  getBatch: { replies: { 200: { succeeded: batch } } },
  listBatches: { replies: { 200: { last_page: { data: [batch], next_cursor: null } } } },
  clearBatches: { replies: { 200: { cleared: { cleared: 3 } } } },
}
