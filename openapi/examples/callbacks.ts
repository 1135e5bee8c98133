import { type Examples, invoice } from './run.ts'

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

export const callbacks: Record<string, Examples> = {
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
