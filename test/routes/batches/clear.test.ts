import t from 'tap'
import { ask } from '../../../src/database/statement.ts'
import { statements } from '../../fixtures/gate.ts'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const countOf = async (execution: string) => {
  const rows = await s.database.query('select from batches where execution_id = $1', [execution])
  return rows.length
}

t.test('clear forgets the batches of an execution and only those', async t => {
  await s.call('POST', '/executions/many/batches/claim', { batch_indexes: [0, 1, 2] })
  await s.claim('man', 0)
  const { status, body } = await s.clear('many')
  t.equal(status, 200)
  t.strictSame(body, { cleared: 3 })
  t.equal(await countOf('many'), 0)
  t.equal(await countOf('man'), 1)
  t.match((await s.claim('many', 0)).body, { outcome: 'granted', attempt: 1 })
})

t.test('clearing nothing is fine', async t => {
  t.strictSame((await s.clear('nothing')).body, { cleared: 0 })
  await s.enqueue('nothing-closed', { total: 0 })
  t.strictSame((await s.clear('nothing-closed')).body, { cleared: 0 })
})

t.test('an open barrier keeps its batches', async t => {
  await s.enqueue('open', { total: 2 })
  await s.claim('open', 0)
  const { status, body } = await s.clear('open')
  t.equal(status, 409)
  t.strictSame(body, {
    type: 'urn:rollcall:problem:barrier_open',
    title: 'The barrier of this execution is still open; abort it first.',
    status: 409,
    detail: 'The barrier of this execution is still open; abort it first.',
    code: 'barrier_open',
    state: 'open',
    generation: 1,
  })
  t.equal(await countOf('open'), 1)
})

t.test('a callback that is due or being delivered keeps them too', async t => {
  await s.enqueue('due', { total: 1, callback: { queue: 'due' } })
  await s.decrement('due', { batch_index: 0 })
  const problem = {
    type: 'urn:rollcall:problem:callback_pending',
    title: 'The callback of this execution is still due or being delivered.',
    status: 409,
    detail: 'The callback of this execution is still due or being delivered.',
    code: 'callback_pending',
    state: 'completed',
    generation: 1,
  }
  const refused = await s.clear('due')
  t.equal(refused.status, 409)
  t.strictSame(refused.body, problem)
  const [{ token }] = (await s.pull('due')).body.callbacks
  t.strictSame((await s.clear('due')).body, problem)
  t.equal(await countOf('due'), 1)
  await s.ack('due', token)
  t.strictSame((await s.clear('due')).body, { cleared: 1 })
})

t.test('the barrier stays as a tombstone after its batches are cleared', async t => {
  await s.enqueue('tombstone', { total: 2 })
  await s.decrement('tombstone', { batch_index: 0 })
  await s.abort('tombstone', { reason: 'enough' })
  t.strictSame((await s.clear('tombstone')).body, { cleared: 1 })
  t.match((await s.barrier('tombstone')).body, { state: 'aborted', succeeded: 1, remaining: 1 })
  t.match((await s.claim('tombstone', 0)).body, { outcome: 'closed', settled: true })
  t.match((await s.batch('tombstone', 0)).body, { status: 410, code: 'batches_forgotten' })
  t.match((await s.batches('tombstone')).body, { status: 410, code: 'batches_forgotten' })
})

t.test('after clear nobody is told that a counted batch was not counted', async t => {
  await s.enqueue('counted', { total: 1 })
  await s.decrement('counted', { batch_index: 0 })
  await s.clear('counted')
  const { status, body } = await s.decrement('counted', { batch_index: 0 })
  t.equal(status, 409)
  t.match(body, {
    code: 'barrier_closed',
    detail:
      'The barrier is closed and its batches are forgotten; nothing shows any more whether this one was counted.',
    state: 'completed',
    succeeded: 1,
    settled: true,
  })
  t.match((await s.decrements('counted', { batches: [{ batch_index: 0 }] })).body, {
    batches: [{ outcome: 'refused', code: 'barrier_closed', settled: true }],
  })
})

t.test('a step finishes what was begun, and touches no other run', async t => {
  const step = async (begun?: number) => {
    const [done] = await ask<object>(s.app.database, statements.clear, [
      { namespace: '', execution_id: 'begun', most: 1, begun },
    ])
    return done
  }
  await s.enqueue('begun', { total: 3, callback: { queue: 'begun' } })
  for (const batch_index of [0, 1, 2]) await s.decrement('begun', { batch_index })
  t.match(await step(), { outcome: 'callback_pending', cleared: 0 })
  await s.ack('begun', (await s.pull('begun')).body.callbacks[0].token)
  t.match(await step(), { outcome: 'cleared', generation: 1, cleared: 1, more: true })
  await s.redeliver('begun')
  t.match((await s.clear('begun')).body, { code: 'callback_pending' })
  t.match(await step(1), { outcome: 'cleared', cleared: 1, more: true })
  await s.enqueue('begun', { total: 0, conflict_policy: 'replace' })
  t.match(await step(1), { outcome: 'replaced', cleared: 0, more: false })
  t.equal(await countOf('begun'), 1)
})

t.test('batches of every generation are cleared', async t => {
  await s.claim('generations', 0)
  await s.enqueue('generations', { total: 1 })
  await s.claim('generations', 0)
  await s.enqueue('generations', { total: 1, conflict_policy: 'replace' })
  await s.decrement('generations', { batch_index: 0 })
  t.strictSame((await s.clear('generations')).body, { cleared: 3 })
})
