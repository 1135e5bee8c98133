import {
  begun,
  claimed_at,
  counts,
  type Examples,
  expires_at,
  invoice,
  lease_expires_at,
  token,
} from './run.ts'

const summary = {
  execution_id: 'invoices-2026-11',
  generation: 1,
  state: 'open',
  reason: null,
  ...counts,
  created_at: begun,
  last_progress_at: claimed_at,
  expires_at,
  closed_at: null,
  callback: { state: 'none' },
}

const recorded = {
  outcome: 'recorded',
  batch_index: 0,
  status: 'succeeded',
  generation: 1,
  state: 'open',
  ...counts,
  closed_by_this: false,
  settled: true,
}

const enqueued = {
  outcome: 'created',
  execution_id: 'invoices-2026-11',
  generation: 1,
  state: 'open',
  total: 3,
  succeeded: 0,
  failed: 0,
  remaining: 3,
  created_at: begun,
  expires_at,
  callback: { state: 'none' },
  replaced: null,
}

export const barriers: Record<string, Examples> = {
  enqueueBarrier: {
    request: {
      three_with_a_callback: {
        total: 3,
        callback: {
          url: 'https://billing.example/hooks/rollcall',
          events: ['completed', 'aborted'],
          task_name: 'send_invoices',
          kwargs: { month: '2026-11' },
        },
        tolerated_failure_count: 1,
        max_attempts: 5,
        metadata: { team: 'billing' },
      },
      replace: { total: 3, conflict_policy: 'replace', generation: 1 },
    },
    replies: {
      200: { existing: { ...enqueued, outcome: 'existing' } },
      201: {
        created: enqueued,
        replaced: {
          ...enqueued,
          generation: 2,
          replaced: { generation: 1, state: 'open', remaining: 2, callback_state: 'none' },
        },
      },
    },
  },
  decrementBarrier: {
    request: {
      succeeded: { batch_index: 0, token, generation: 1, result: invoice },
      failed: { batch_index: 0, status: 'failed', error: { message: 'The file is encrypted.' } },
    },
    replies: {
      200: { recorded, duplicate: { ...recorded, outcome: 'duplicate', same: true } },
    },
  },
  decrementBarrierInBulk: {
    request: { two: { generation: 1, batches: [{ batch_index: 0, token }, { batch_index: 3 }] } },
    replies: {
      200: {
        one_recorded_one_refused: {
          batches: [
            recorded,
            {
              outcome: 'refused',
              code: 'batch_out_of_range',
              batch_index: 3,
              generation: 1,
              state: 'open',
              ...counts,
              settled: false,
            },
          ],
          generation: 1,
          state: 'open',
          ...counts,
          closed_by_this: false,
        },
      },
    },
  },
  abortBarrier: {
    request: { with_a_reason: { reason: 'The invoices were recalled.', generation: 1 } },
    replies: {
      200: {
        aborted: {
          outcome: 'aborted',
          generation: 1,
          state: 'aborted',
          reason: 'The invoices were recalled.',
          ...counts,
        },
      },
    },
  },
  getBarrier: {
    replies: {
      200: {
        open: { ...summary, metadata: { team: 'billing' } },
        with_claims: {
          ...summary,
          metadata: { team: 'billing' },
          claimed: 1,
          leases_expired: 0,
          unclaimed: 1,
          claims: [{ batch_index: 1, owner: 'worker-7', attempt: 1, claimed_at, lease_expires_at }],
        },
      },
    },
  },
  listExecutions: {
    replies: {
      200: { first_page: { data: [summary], next_cursor: 'eyJleGVjdXRpb25faWQiOiJpbnZvaWNlcyJ9' } },
    },
  },
}
