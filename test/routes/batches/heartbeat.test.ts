import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const endLeases = (execution: string) =>
  s.database.query(
    `update batches set lease_expires_at = lease_expires_at - interval '1 day' where execution_id = $1`,
    [execution],
  )

const rowsOf = (execution: string) =>
  s.database.query('select * from batches where execution_id = $1', [execution])

/** Seconds from now, by the database's clock. */
const secondsUntil = async (moment: string) => {
  const [row] = await s.database.query<{ seconds: number }>(
    `select extract(epoch from $1::timestamptz - clock_timestamp())::float8 as seconds`,
    [moment],
  )
  return row?.seconds ?? Number.NaN
}

const staleToken = {
  type: 'urn:rollcall:problem:stale_token',
  title: 'This token is not the current one, or its work is already settled.',
  status: 409,
  detail: 'This token is not the current one, or its work is already settled.',
  code: 'stale_token',
}

t.test('a heartbeat extends the lease from now, by its own length or by another', async t => {
  await s.enqueue('extend', { total: 1 })
  const { body: claim } = await s.claim('extend', 0, { lease_seconds: 100 })
  await s.database.query(
    `update batches set lease_expires_at = lease_expires_at - interval '50 s' where execution_id = 'extend'`,
  )
  const own = await s.heartbeat('extend', 0, { token: claim.token })
  t.equal(own.status, 200)
  t.strictSame(own.body, { lease_expires_at: own.body.lease_expires_at })
  const seconds = await secondsUntil(own.body.lease_expires_at)
  t.ok(seconds > 90 && seconds <= 100, String(seconds))
  const other = await s.heartbeat('extend', 0, { token: claim.token, lease_seconds: 1000 })
  const longer = await secondsUntil(other.body.lease_expires_at)
  t.ok(longer > 990 && longer <= 1000, String(longer))
  const shorter = await s.heartbeat('extend', 0, { token: claim.token, lease_seconds: 5 })
  t.ok((await secondsUntil(shorter.body.lease_expires_at)) <= 5, 'and may shorten it')
  t.match(await rowsOf('extend'), [{ state: 'claimed', attempt: 1, token: claim.token }])
})

t.test('without a barrier a heartbeat extends as well', async t => {
  const { body: claim } = await s.claim('alone', 0, { lease_seconds: 100 })
  t.equal((await s.heartbeat('alone', 0, { token: claim.token })).status, 200)
})

t.test('a lease that ran out and was not taken over is extended', async t => {
  const { body: claim } = await s.claim('over', 0, { lease_seconds: 30 })
  await endLeases('over')
  const { status, body } = await s.heartbeat('over', 0, { token: claim.token })
  t.equal(status, 200)
  t.ok((await secondsUntil(body.lease_expires_at)) > 20)
  t.equal((await s.claim('over', 0)).body.outcome, 'in_progress')
})

t.test('a lease that was taken over is not', async t => {
  await s.enqueue('taken', { total: 1 })
  const { body: old } = await s.claim('taken', 0, { lease_seconds: 30 })
  await endLeases('taken')
  await s.claim('taken', 0, { lease_seconds: 30 })
  const before = await rowsOf('taken')
  const { status, body } = await s.heartbeat('taken', 0, { token: old.token })
  t.equal(status, 409)
  t.strictSame(body, { ...staleToken, generation: 1, attempt: 2, state: 'open' })
  t.strictSame(await rowsOf('taken'), before)
})

t.test('a released or recorded batch has no lease to extend', async t => {
  await s.enqueue('given', { total: 2 })
  const { body: released } = await s.claim('given', 0, { lease_seconds: 30 })
  await s.release('given', 0, released.token)
  const first = await s.heartbeat('given', 0, { token: released.token })
  t.equal(first.status, 409)
  t.strictSame(first.body, { ...staleToken, generation: 1, attempt: 1, state: 'open' })

  const { body: recorded } = await s.claim('given', 1, { lease_seconds: 30 })
  await s.decrement('given', { batch_index: 1, token: recorded.token })
  const second = await s.heartbeat('given', 1, { token: recorded.token })
  t.equal(second.status, 409)
  t.strictSame(second.body, {
    ...staleToken,
    batch_status: 'succeeded',
    generation: 1,
    attempt: 1,
    state: 'open',
  })
})

t.test('a closed barrier extends nothing and says why', async t => {
  await s.enqueue('closed', { total: 2 })
  const { body: claim } = await s.claim('closed', 0, { lease_seconds: 30 })
  await s.abort('closed', { reason: 'enough' })
  const before = await rowsOf('closed')
  const { status, body } = await s.heartbeat('closed', 0, { token: claim.token })
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
  t.strictSame(await rowsOf('closed'), before)
})

t.test('a token of a replaced generation is stale by its generation', async t => {
  await s.enqueue('replaced', { total: 1 })
  const { body: old } = await s.claim('replaced', 0, { lease_seconds: 30 })
  await s.enqueue('replaced', { total: 1, conflict_policy: 'replace' })
  await s.claim('replaced', 0)
  const { status, body } = await s.heartbeat('replaced', 0, { token: old.token })
  t.equal(status, 409)
  t.strictSame(body, {
    type: 'urn:rollcall:problem:stale_generation',
    title: 'A newer run of this execution is current; this call belongs to an older one.',
    status: 409,
    detail: 'A newer run of this execution is current; this call belongs to an older one.',
    code: 'stale_generation',
    generation: 2,
    attempt: 1,
    state: 'open',
  })
})

t.test('a batch that was never claimed is not found', async t => {
  await s.enqueue('none', { total: 1 })
  for (const [execution, index] of [
    ['none', 0],
    ['none', 1],
    ['nowhere', 0],
  ] as const) {
    const { status, body } = await s.heartbeat(execution, index, { token: '1.1.x' })
    t.equal(status, 404)
    t.match(body, { code: 'batch_not_found' })
  }
  t.strictSame(await rowsOf('none'), [])
})

t.test('a claim without a lease stays without one unless a heartbeat brings it', async t => {
  const { body: claim } = await s.claim('leaseless', 0)
  const { status, body } = await s.heartbeat('leaseless', 0, { token: claim.token })
  t.equal(status, 200)
  t.strictSame(body, { lease_expires_at: null })
  await s.heartbeat('leaseless', 0, { token: claim.token, lease_seconds: 30 })
  await endLeases('leaseless')
  t.equal((await s.claim('leaseless', 0)).body.outcome, 'granted')
})

t.test('odd tokens are compared whole and match nothing', async t => {
  const { body: claim } = await s.claim('odd', 0, { lease_seconds: 30 })
  const odd = [
    '0.1.',
    `${claim.token} `,
    claim.token.slice(0, -1),
    '99999999999.1.x',
    '0',
    '.',
    '%',
    'é',
  ]
  for (const token of odd) {
    const { status, body } = await s.heartbeat('odd', 0, { token })
    t.equal(status, 409, token)
    t.equal(body.code, 'stale_token', token)
  }
})

t.test('concurrent heartbeats of one token all extend', async t => {
  const { body: claim } = await s.claim('many', 0, { lease_seconds: 30 })
  const replies = await Promise.all(
    Array.from({ length: 20 }, () => s.heartbeat('many', 0, { token: claim.token })),
  )
  t.ok(replies.every(({ status }) => status === 200))
})
