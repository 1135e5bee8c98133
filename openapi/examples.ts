import { Refusal, type RefusalCode, type RefusalMembers } from '../src/refusals.ts'

interface Examples {
  request?: Record<string, unknown>
  /** By status. */
  replies: Record<string, Record<string, unknown>>
}

const token = '1.1.qJk3Vd0xS0u1n2cQm8rV6w'
const begun = '2026-11-23T09:30:00.123456Z'
const claimed_at = '2026-11-23T09:30:05.000021Z'
const lease_expires_at = '2026-11-23T09:31:05.000021Z'
const expires_at = '2026-11-23T15:30:00.123456Z'
const counts = { total: 3, succeeded: 1, failed: 0, remaining: 2 }
const work = { claimed: true, settled: false }
const wait = { claimed: false, settled: false }
const over = { claimed: false, settled: true }
const subject = { batch_index: 0, generation: 1 }
const granted = { outcome: 'granted', ...work, ...subject, attempt: 1, lease_expires_at, token }
const invoice = { invoice: 'A-1001', pages: 12 }

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

const callback_id = 'cb_m3Yt8Lr2Q5e0pZ1oXvN4aA'
const callbackToken = '1.1.5f0c2b7d9e1a4c3f8b6d0a2e4c6f8b1d'

const callback = {
  execution_id: 'invoices-2026-11',
  generation: 1,
  callback_id,
  state: 'due',
  due_at: '2026-11-23T09:32:10.000007Z',
  lease_expires_at: null,
  attempt: 0,
  settled_at: null,
  callback: {
    queue: 'mail',
    events: ['aborted', 'completed'],
    task_name: 'send_invoices',
    kwargs: { month: '2026-11' },
    priority: 5,
  },
  attempts: [],
}

const attempted = {
  attempt: 1,
  started_at: '2026-11-23T09:32:12.000042Z',
  outcome: 'failed',
  status: null,
  error: null,
  milliseconds: null,
  response: null,
}

/** One run of three invoices, told in requests and replies; by operation. A test checks each against its schema. */
export const examples: Record<string, Examples> = {
  isAlive: { replies: { 200: { alive: { status: 'alive' } } } },
  isReady: { replies: { 200: { ready: { status: 'ready' } } } },
  isHealthy: { replies: { 200: { ready: { status: 'ready' } } } },

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

  claimCallbacks: {
    request: {
      one: { queue: 'mail' },
      ten_or_wait: { queue: 'mail', limit: 10, lease_seconds: 120, wait_seconds: 50 },
    },
    replies: {
      200: {
        one: {
          callbacks: [
            {
              execution_id: 'invoices-2026-11',
              generation: 1,
              callback_id,
              token: callbackToken,
              attempt: 1,
              lease_expires_at: '2026-11-23T09:33:12.000042Z',
              message: {
                type: 'barrier.completed',
                timestamp: '2026-11-23T09:32:10.000007Z',
                data: {
                  execution_id: 'invoices-2026-11',
                  generation: 1,
                  state: 'completed',
                  reason: null,
                  total: 2,
                  succeeded: 2,
                  failed: 0,
                  task_name: 'send_invoices',
                  kwargs: { month: '2026-11' },
                  headers: null,
                  metadata: { team: 'billing' },
                  results: [
                    { batch_index: 0, status: 'succeeded', result: invoice },
                    { batch_index: 1, status: 'succeeded', result: { ...invoice, pages: 7 } },
                  ],
                  results_url: '/executions/invoices-2026-11/batches?generation=1',
                },
              },
            },
          ],
        },
        none_was_due: { callbacks: [] },
      },
    },
  },
  ackCallback: {
    request: { done: { token: callbackToken } },
    replies: {
      200: {
        delivered: {
          ...callback,
          state: 'delivered',
          due_at: null,
          attempt: 1,
          settled_at: '2026-11-23T09:32:13.400000Z',
          attempts: [{ ...attempted, outcome: 'delivered', milliseconds: 1399 }],
        },
      },
    },
  },
  retryCallback: {
    request: {
      at_once: { token: callbackToken },
      in_a_minute: { token: callbackToken, delay_seconds: 60, error: 'The mail server is away.' },
    },
    replies: {
      200: {
        due_in_a_minute: {
          ...callback,
          due_at: '2026-11-23T09:33:13.400000Z',
          attempt: 1,
          attempts: [{ ...attempted, error: 'The mail server is away.', milliseconds: 1399 }],
        },
      },
    },
  },
  getCallback: { replies: { 200: { due: callback } } },
  redeliverCallback: {
    replies: { 200: { due: { ...callback, attempt: 1, attempts: [attempted] } } },
  },
}

/** What a refusal says besides, as far as it belongs to the same run. */
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
