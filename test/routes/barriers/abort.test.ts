import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const rowOf = async (execution: string) => {
  const [row] = await s.database.query('select * from barriers where execution_id = $1', [
    execution,
  ])
  return row
}

t.test('an open barrier is aborted once, and every later call sees the reason', async t => {
  await s.enqueue('once', { total: 3, tolerated_failure_count: 1 })
  await s.decrement('once', { batch_index: 0 })
  await s.decrement('once', { batch_index: 1, status: 'failed' })
  const truth = {
    generation: 1,
    state: 'aborted',
    reason: 'first',
    total: 3,
    succeeded: 1,
    failed: 1,
    remaining: 1,
  }
  const first = await s.abort('once', { reason: 'first' })
  t.equal(first.status, 200)
  t.strictSame(first.body, { outcome: 'aborted', ...truth })
  const before = await rowOf('once')
  for (const again of [{ reason: 'second' }, {}, { generation: 1 }]) {
    const { status, body } = await s.abort('once', again)
    t.equal(status, 200)
    t.strictSame(body, { outcome: 'already_closed', ...truth })
  }
  t.strictSame(await rowOf('once'), before)
  t.match((await s.barrier('once')).body, { state: 'aborted', reason: 'first' })
  t.match((await s.claim('once', 2)).body, { outcome: 'closed', reason: 'first' })
  t.match((await s.decrement('once', { batch_index: 2 })).body, { reason: 'first' })
  t.match((await s.enqueue('once', { total: 3, tolerated_failure_count: 1 })).body, {
    outcome: 'existing',
    state: 'aborted',
  })
})

t.test('a completed barrier cannot be aborted', async t => {
  await s.enqueue('completed', { total: 1 })
  await s.decrement('completed', { batch_index: 0 })
  const before = await rowOf('completed')
  const { status, body } = await s.abort('completed', { reason: 'late' })
  t.equal(status, 200)
  t.strictSame(body, {
    outcome: 'already_closed',
    generation: 1,
    state: 'completed',
    reason: null,
    total: 1,
    succeeded: 1,
    failed: 0,
    remaining: 0,
  })
  t.strictSame(await rowOf('completed'), before)
})

t.test('an aborted barrier never completes', async t => {
  await s.enqueue('never', { total: 1 })
  await s.abort('never')
  t.equal((await s.decrement('never', { batch_index: 0 })).body.code, 'barrier_closed')
  t.equal((await s.barrier('never')).body.state, 'aborted')
})

t.test('an abort makes the callback due if it was wanted for aborted', async t => {
  const due = { state: 'due' }
  await s.enqueue('told', { total: 1, callback: { queue: 'q', events: ['aborted', 'completed'] } })
  await s.abort('told')
  t.strictSame((await s.barrier('told')).body.callback, due)
  await s.enqueue('not-told', { total: 1, callback: { queue: 'q' } })
  await s.abort('not-told')
  t.strictSame((await s.barrier('not-told')).body.callback, { state: 'none' })
  t.match(await rowOf('not-told'), { callback_id: null, callback_due_at: null })
})

t.test('an abort without a reason says so', async t => {
  await s.enqueue('reasonless', { total: 1 })
  const { body } = await s.abort('reasonless')
  t.match(body, { outcome: 'aborted', reason: /\w/ })
})

t.test('a reason has at most 1,000 characters', async t => {
  await s.enqueue('reason', { total: 1 })
  t.equal((await s.abort('reason', { reason: 'x'.repeat(1001) })).status, 400)
  t.match(await rowOf('reason'), { state: 'open' })
  const reason = 'ö'.repeat(1000)
  t.equal((await s.abort('reason', { reason })).body.reason, reason)
})

t.test('an abort of an older generation is stale and one of a newer is not found', async t => {
  await s.enqueue('old', { total: 1 })
  await s.enqueue('old', { total: 1, conflict_policy: 'replace' })
  const before = await rowOf('old')
  const older = await s.abort('old', { generation: 1 })
  t.equal(older.status, 409)
  t.strictSame(older.body, {
    type: 'urn:rollcall:problem:stale_generation',
    title: 'A newer run of this execution is current; this call belongs to an older one.',
    status: 409,
    detail: 'A newer run of this execution is current; this call belongs to an older one.',
    code: 'stale_generation',
    generation: 2,
  })
  const newer = await s.abort('old', { generation: 3 })
  t.equal(newer.status, 404)
  t.match(newer.body, { code: 'execution_not_found', generation: 2 })
  t.strictSame(await rowOf('old'), before)
  t.match((await s.abort('old', { generation: 2 })).body, { outcome: 'aborted', generation: 2 })
})

t.test('without a barrier there is nothing to abort', async t => {
  await s.claim('none', 0)
  for (const body of [{}, { generation: 1 }]) {
    const reply = await s.abort('none', body)
    t.equal(reply.status, 404)
    t.strictSame(reply.body, {
      type: 'urn:rollcall:problem:execution_not_found',
      title: 'This execution has no barrier, or none of this generation.',
      status: 404,
      detail: 'This execution has no barrier, or none of this generation.',
      code: 'execution_not_found',
    })
  }
})

t.test('of concurrent aborts one wins and all tell its reason', async t => {
  await s.enqueue('race', { total: 1 })
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, index) => s.abort('race', { reason: `reason ${index}` })),
  )
  t.equal(replies.filter(({ body }) => body.outcome === 'aborted').length, 1)
  t.equal(new Set(replies.map(({ body }) => body.reason)).size, 1)
})
