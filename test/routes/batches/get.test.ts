import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const nothing = {
  attempt: 0,
  owner: null,
  claimed_at: null,
  lease_expires_at: null,
  recorded_at: null,
  result: null,
  error: null,
}

t.test('a batch in range without a row is unclaimed', async t => {
  await s.enqueue('range', { total: 2 })
  const { status, body } = await s.batch('range', 1)
  t.equal(status, 200)
  t.strictSame(body, { batch_index: 1, generation: 1, state: 'unclaimed', ...nothing })
})

t.test('a claimed batch tells who holds it and until when', async t => {
  await s.enqueue('claimed', { total: 1 })
  const { body: claim } = await s.claim('claimed', 0, { lease_seconds: 30, owner: 'w' })
  const { body } = await s.batch('claimed', 0)
  t.strictSame(body, {
    batch_index: 0,
    generation: 1,
    state: 'claimed',
    attempt: 1,
    owner: 'w',
    claimed_at: body.claimed_at,
    lease_expires_at: claim.lease_expires_at,
    recorded_at: null,
    result: null,
    error: null,
  })
  t.match(body.claimed_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  t.notMatch(body, { token: String }, 'and never the token')
})

t.test('a released batch is unclaimed and keeps its attempt', async t => {
  const { body: claim } = await s.claim('released', 0, { lease_seconds: 30, owner: 'w' })
  await s.release('released', 0, claim.token)
  t.match((await s.batch('released', 0)).body, {
    batch_index: 0,
    generation: 0,
    state: 'unclaimed',
    attempt: 1,
    lease_expires_at: null,
    recorded_at: null,
  })
})

t.test('a recorded batch has its result or its error', async t => {
  await s.enqueue('recorded', { total: 3, tolerated_failure_count: 3 })
  await s.decrement('recorded', { batch_index: 0, result: { a: 1 } })
  await s.decrement('recorded', { batch_index: 1, status: 'failed', error: 'boom' })
  const ok = (await s.batch('recorded', 0)).body
  t.strictSame(ok, {
    ...nothing,
    batch_index: 0,
    generation: 1,
    state: 'succeeded',
    recorded_at: ok.recorded_at,
    result: { a: 1 },
  })
  t.match(ok.recorded_at, /Z$/)
  const failed = (await s.batch('recorded', 1)).body
  t.strictSame(failed, {
    ...nothing,
    batch_index: 1,
    generation: 1,
    state: 'failed',
    recorded_at: failed.recorded_at,
    error: 'boom',
  })
})

t.test('a batch out of range, or unknown without a barrier, is not found', async t => {
  await s.enqueue('small', { total: 1 })
  for (const [execution, index] of [
    ['small', 1],
    ['nowhere', 0],
  ] as const) {
    const { status, body } = await s.batch(execution, index)
    t.equal(status, 404)
    t.match(body, {
      type: 'urn:rollcall:problem:batch_not_found',
      title: 'This batch was never claimed, or its execution does not have it.',
      status: 404,
      detail: 'This batch was never claimed, or its execution does not have it.',
      code: 'batch_not_found',
    })
  }
})

t.test('a generation fences the read', async t => {
  await s.enqueue('fenced', { total: 1 })
  await s.decrement('fenced', { batch_index: 0, result: 'old' })
  await s.enqueue('fenced', { total: 1, conflict_policy: 'replace' })
  t.match((await s.batch('fenced', 0)).body, { generation: 2, state: 'unclaimed', result: null })
  t.match((await s.batch('fenced', 0, '?generation=2')).body, { generation: 2 })
  t.match(await s.batch('fenced', 0, '?generation=1'), {
    status: 409,
    body: { code: 'stale_generation', generation: 2 },
  })
  t.match(await s.batch('fenced', 0, '?generation=3'), {
    status: 404,
    body: { code: 'execution_not_found' },
  })
  await s.claim('no-barrier', 0)
  t.match(await s.batch('no-barrier', 0, '?generation=1'), {
    status: 404,
    body: { code: 'execution_not_found' },
  })
})
