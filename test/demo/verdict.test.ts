import t from 'tap'
import type { Attempt } from '../../demo/inbox.ts'
import { attemptFaults, messageFaults } from '../../demo/verdict.ts'

const attempt: Attempt = {
  webhook_id: 'msg_1',
  received_at: '2026-11-23T09:30:00.000Z',
  status: 500,
  signature: 'verified',
  sha256: 'aa',
}
const counts = { total: 2, succeeded: 2, failed: 0 }
const barrier = { execution_id: 'demo', generation: 3, state: 'completed', ...counts }
const sums = [
  { files: 50, sha256: 'bb' },
  { files: 7, sha256: 'cc' },
]
const batches = sums.map((result, batch_index) => ({ batch_index, state: 'succeeded', result }))
const results = sums.map((result, batch_index) => ({ batch_index, status: 'succeeded', result }))
const results_url = '/executions/demo/batches?generation=3'
const data = { ...barrier, reason: null, task_name: 'checksums', results, results_url }
const message = { type: 'barrier.completed', timestamp: '2026-11-23T09:30:00Z', data }

function faultsOf(sent: unknown, pages = batches): Promise<string[]> {
  const truth = { barrier, task_name: 'checksums', batches }
  const body = typeof sent === 'string' ? sent : JSON.stringify(sent)
  return messageFaults(body, truth, async url => (url === results_url ? pages : []))
}

t.test('attempts with one id and the same bytes are right, verified or not checked', async t => {
  t.strictSame(attemptFaults([attempt, attempt, { ...attempt, status: 204 }], ''), [])
  t.strictSame(attemptFaults([{ ...attempt, signature: 'not checked' }], ''), [])
})

t.test('a second id, none, other bytes and a wrong signature are told', async t => {
  const wrong: Attempt = { ...attempt, webhook_id: '', sha256: 'ab', signature: 'wrong' }
  t.strictSame(attemptFaults([attempt, wrong], 'that of .rollcall/webhook-secret'), [
    'The 2 attempts have 2 ids: msg_1, .',
    'An attempt has no webhook-id.',
    'The 2 attempts have 2 different bodies.',
    'The signature of 1 of 2 attempts is wrong for the secret, that of .rollcall/webhook-secret.',
  ])
})

t.test('a message that tells the barrier and its results is right', async t => {
  t.strictSame(await faultsOf(message), [])
})

t.test('results that are not in the message are those at its results_url', async t => {
  const { results: _, ...without } = data
  t.strictSame(await faultsOf({ ...message, data: without }), [])
  t.strictSame(await faultsOf({ ...message, data: without }, batches.slice(1)), [
    `The results at ${results_url} are not those of the barrier.`,
  ])
})

t.test('another type, other counts and another order of results are told', async t => {
  const faults = await faultsOf({
    type: 'barrier.aborted',
    timestamp: message.timestamp,
    data: { ...data, generation: 2, results: results.toReversed() },
  })
  t.match(faults, [
    'The type is barrier.aborted and not barrier.completed.',
    /^The message says \{.*"generation":2,.*\}, but it is \{.*"generation":3,.*\}\.$/,
    'The results in the message are not those of the barrier.',
  ])
  t.equal(faults.length, 3)
})

t.test('a result that is missing, changed or failed is told', async t => {
  const [first] = results
  for (const other of [
    [first],
    [first, { ...first, batch_index: 1 }],
    [first, { ...results[1], status: 'failed' }],
  ]) {
    t.strictSame(await faultsOf({ ...message, data: { ...data, results: other } }), [
      'The results in the message are not those of the barrier.',
    ])
  }
})

t.test('what is no message is told', async t => {
  for (const body of ['', '{}', 'no JSON']) {
    t.match(await faultsOf(body), [/^The message is none: /])
  }
})
