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
const barrierExists = {
  type: 'urn:rollcall:problem:barrier_exists',
  title: 'The execution already has a barrier.',
  status: 409,
  detail: 'The execution already has a barrier.',
  code: 'barrier_exists',
}

t.test('finish records the outcome once, for good', async t => {
  const { body: claim } = await s.claim('once', 0, { lease_seconds: 30 }, 'k')
  const ask = { token: claim.token, result: { a: [1, 2] } }
  const first = await s.finish('once', 0, ask)
  t.equal(first.status, 200)
  t.strictSame(first.body, { outcome: 'recorded', status: 'succeeded', settled: true })
  t.match(await rowsOf('once'), [
    { state: 'succeeded', claim_key: null, lease_expires_at: null, token: claim.token },
  ])
  const before = await rowsOf('once')
  const repeat = await s.finish('once', 0, ask)
  t.equal(repeat.status, 200)
  t.strictSame(repeat.body, {
    outcome: 'duplicate',
    status: 'succeeded',
    same: true,
    settled: true,
  })
  for (const other of [{}, { result: { a: [2, 1] } }, { status: 'failed' }, { result: null }]) {
    t.strictSame((await s.finish('once', 0, { token: claim.token, ...other })).body, {
      outcome: 'duplicate',
      status: 'succeeded',
      same: false,
      settled: true,
    })
  }
  t.strictSame(await rowsOf('once'), before)
})

t.test('a failure is recorded with its error, and later claims are told', async t => {
  const { body: claim } = await s.claim('failed', 0)
  const { body } = await s.finish('failed', 0, {
    token: claim.token,
    status: 'failed',
    error: { code: 'boom' },
  })
  t.strictSame(body, { outcome: 'recorded', status: 'failed', settled: true })
  t.strictSame((await s.claim('failed', 0)).body, {
    outcome: 'finished',
    claimed: false,
    settled: true,
    batch_index: 0,
    generation: 0,
    status: 'failed',
    error: { code: 'boom' },
  })
})

t.test('an absent result and a null one are the same', async t => {
  const { body: claim } = await s.claim('null', 0)
  await s.finish('null', 0, { token: claim.token })
  t.match((await s.finish('null', 0, { token: claim.token, result: null })).body, { same: true })
})

t.test('a lease that is over and was not taken over still finishes', async t => {
  const { body: claim } = await s.claim('over', 0, { lease_seconds: 5 })
  await s.database.query(
    `update batches set lease_expires_at = lease_expires_at - interval '1 day' where execution_id = 'over'`,
  )
  t.equal((await s.finish('over', 0, { token: claim.token })).body.outcome, 'recorded')
})

t.test('a token that was taken over finishes nothing', async t => {
  const { body: old } = await s.claim('taken', 0, { lease_seconds: 5 })
  await s.database.query(
    `update batches set lease_expires_at = lease_expires_at - interval '1 day' where execution_id = 'taken'`,
  )
  const { body: current } = await s.claim('taken', 0)
  const before = await rowsOf('taken')
  const bare = await s.finish('taken', 0, { token: old.token, result: 'zombie' })
  t.equal(bare.status, 409)
  t.strictSame(bare.body, { ...staleToken, attempt: 2, settled: false })
  t.strictSame(await rowsOf('taken'), before)

  await s.finish('taken', 0, { token: current.token, result: 'right' })
  const recorded = await s.finish('taken', 0, { token: old.token, result: 'zombie' })
  t.equal(recorded.status, 409)
  t.strictSame(recorded.body, {
    ...staleToken,
    batch_status: 'succeeded',
    attempt: 2,
    settled: true,
  })
  t.equal((await s.batch('taken', 0)).body.result, 'right')
})

t.test('where there is a barrier, decrement records and finish does not', async t => {
  await s.enqueue('barrier', { total: 1 })
  const { body: claim } = await s.claim('barrier', 0)
  for (const token of [claim.token, 'other']) {
    const { status, body } = await s.finish('barrier', 0, { token })
    t.equal(status, 409)
    t.match(body, { ...barrierExists, settled: false })
  }
  t.match(await rowsOf('barrier'), [{ state: 'claimed' }])
  const early = await s.claim('barrier-later', 0)
  await s.enqueue('barrier-later', { total: 1 })
  const { status, body } = await s.finish('barrier-later', 0, { token: early.body.token })
  t.equal(status, 409)
  t.match(body, barrierExists)
  t.match(await rowsOf('barrier-later'), [{ state: 'claimed', generation: 0 }])
})

t.test('a finish that is repeated after an enqueue still tells that it was recorded', async t => {
  const { body: claim } = await s.claim('late', 0)
  const ask = { token: claim.token, result: 7 }
  await s.finish('late', 0, ask)
  await s.enqueue('late', { total: 1 })
  const { status, body } = await s.finish('late', 0, ask)
  t.equal(status, 200)
  t.strictSame(body, { outcome: 'duplicate', status: 'succeeded', same: true, settled: true })
})

t.test('a batch that was never claimed is not found', async t => {
  const { status, body } = await s.finish('none', 0, { token: '0.1.x' })
  t.equal(status, 404)
  t.strictSame(body, {
    type: 'urn:rollcall:problem:batch_not_found',
    title: 'This batch was never claimed, or its execution does not have it.',
    status: 404,
    detail: 'This batch was never claimed, or its execution does not have it.',
    code: 'batch_not_found',
    settled: false,
  })
  t.strictSame(await rowsOf('none'), [])
})

t.test('a result belongs to a success and an error to a failure', async t => {
  const { body: claim } = await s.claim('either', 0)
  const wrong = [
    ['error', { error: 'x' }],
    ['result', { status: 'failed', result: 'x' }],
  ] as const
  for (const [path, ask] of wrong) {
    const { status, body } = await s.finish('either', 0, { token: claim.token, ...ask })
    t.equal(status, 400)
    t.match(body, { errors: [{ path }] })
  }
  t.match(await rowsOf('either'), [{ state: 'claimed' }])
})

t.test('of concurrent finishes with one token one records', async t => {
  const { body: claim } = await s.claim('concurrent', 0)
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, result) =>
      s.finish('concurrent', 0, { token: claim.token, result }),
    ),
  )
  t.ok(replies.every(({ status }) => status === 200))
  t.equal(replies.filter(({ body }) => body.outcome === 'recorded').length, 1)
  t.equal(replies.filter(({ body }) => body.same === false).length, 19)
})

t.test('after clear a finish finds nothing, and the batch is claimed from the start', async t => {
  const { body: claim } = await s.claim('cleared', 0)
  await s.finish('cleared', 0, { token: claim.token })
  t.strictSame((await s.clear('cleared')).body, { cleared: 1 })
  t.equal((await s.finish('cleared', 0, { token: claim.token })).status, 404)
  t.match((await s.claim('cleared', 0)).body, { outcome: 'granted', attempt: 1 })
})
