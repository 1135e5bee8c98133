import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const rowsOf = (execution: string) =>
  s.database.query('select * from batches where execution_id = $1', [execution])

const staleToken = {
  type: 'urn:rollcall:problem:stale_token',
  title: 'This token is not the current one, or its work is already settled.',
  status: 409,
  detail: 'This token is not the current one, or its work is already settled.',
  code: 'stale_token',
}

t.test('a released batch is free for the next delivery at once', async t => {
  await s.enqueue('free', { total: 1 })
  const { body: claim } = await s.claim('free', 0, { lease_seconds: 600 }, 'k')
  const { status, body } = await s.release('free', 0, claim.token)
  t.equal(status, 200)
  t.strictSame(body, { outcome: 'released', generation: 1, attempt: 1 })
  t.match(await rowsOf('free'), [
    { state: 'released', attempt: 1, claim_key: null, lease_expires_at: null },
  ])
  t.match((await s.claim('free', 0)).body, { outcome: 'granted', attempt: 2 })
})

t.test('release may be repeated until the next grant, and changes nothing', async t => {
  const { body: claim } = await s.claim('repeat', 0)
  await s.release('repeat', 0, claim.token)
  const before = await rowsOf('repeat')
  const { status, body } = await s.release('repeat', 0, claim.token)
  t.equal(status, 200)
  t.strictSame(body, { outcome: 'released', generation: 0, attempt: 1 })
  t.strictSame(await rowsOf('repeat'), before)

  await s.claim('repeat', 0)
  const late = await s.release('repeat', 0, claim.token)
  t.equal(late.status, 409)
  t.strictSame(late.body, { ...staleToken, generation: 0, attempt: 2 })
  t.match(await rowsOf('repeat'), [{ state: 'claimed', attempt: 2 }])
})

t.test('a lease that is over and was not taken over can be released', async t => {
  const { body: claim } = await s.claim('over', 0, { lease_seconds: 5 })
  await s.database.query(
    `update batches set lease_expires_at = lease_expires_at - interval '1 day' where execution_id = 'over'`,
  )
  t.equal((await s.release('over', 0, claim.token)).status, 200)
})

t.test('a batch that was recorded cannot be released', async t => {
  await s.enqueue('recorded', { total: 2, tolerated_failure_count: 1 })
  const { body: claim } = await s.claim('recorded', 0)
  await s.decrement('recorded', { batch_index: 0, token: claim.token, status: 'failed' })
  const before = await rowsOf('recorded')
  const { status, body } = await s.release('recorded', 0, claim.token)
  t.equal(status, 409)
  t.strictSame(body, {
    ...staleToken,
    batch_status: 'failed',
    generation: 1,
    attempt: 1,
    state: 'open',
  })
  t.strictSame(await rowsOf('recorded'), before)
})

t.test('a closed barrier takes nothing back', async t => {
  await s.enqueue('closed', { total: 2 })
  const { body: claim } = await s.claim('closed', 0)
  await s.abort('closed', { reason: 'enough' })
  const { status, body } = await s.release('closed', 0, claim.token)
  t.equal(status, 409)
  t.strictSame(body, {
    type: 'urn:rollcall:problem:barrier_closed',
    title: 'The barrier is closed; this batch was not counted and will not be.',
    status: 409,
    detail: 'The barrier is closed; this batch was not counted and will not be.',
    code: 'barrier_closed',
    generation: 1,
    attempt: 1,
    state: 'aborted',
    reason: 'enough',
  })
})

t.test('a token of a replaced generation releases nothing', async t => {
  await s.enqueue('replaced', { total: 1 })
  const { body: old } = await s.claim('replaced', 0)
  await s.enqueue('replaced', { total: 1, conflict_policy: 'replace' })
  await s.claim('replaced', 0)
  const { status, body } = await s.release('replaced', 0, old.token)
  t.equal(status, 409)
  t.match(body, { code: 'stale_generation', generation: 2 })
  t.equal((await s.claim('replaced', 0)).body.outcome, 'in_progress')
})

t.test('a batch that was never claimed is not found', async t => {
  await s.enqueue('none', { total: 1 })
  for (const [execution, index] of [
    ['none', 0],
    ['none', 1],
    ['nowhere', 0],
  ] as const) {
    const { status, body } = await s.release(execution, index, '1.1.x')
    t.equal(status, 404)
    t.match(body, { code: 'batch_not_found' })
  }
})

t.test('a release and a claim at once leave one holder or none', async t => {
  const { body: claim } = await s.claim('race', 0)
  const [released, claimed] = await Promise.all([
    s.release('race', 0, claim.token),
    s.claim('race', 0),
  ])
  t.equal(released.status, 200)
  const state = claimed.body.outcome === 'granted' ? 'claimed' : 'released'
  t.match(await rowsOf('race'), [{ state }])
})

t.test('the newest token still records what was released and not yet granted again', async t => {
  await s.enqueue('late', { total: 1 })
  const { body: claim } = await s.claim('late', 0)
  await s.release('late', 0, claim.token)
  t.match((await s.decrement('late', { batch_index: 0, token: claim.token })).body, {
    outcome: 'recorded',
    state: 'completed',
  })
})
