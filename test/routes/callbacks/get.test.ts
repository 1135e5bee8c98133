import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const read = (execution: string) => s.call('GET', `/executions/${execution}/callback`)

t.test('a callback is none until its barrier closes by one of its events', async t => {
  const callback = { queue: 'jobs', events: ['completed', 'aborted'], kwargs: { a: 1 } }
  await s.enqueue('due', { total: 1, callback })
  const before = await read('due')
  t.equal(before.status, 200)
  t.strictSame(before.body, {
    execution_id: 'due',
    generation: 1,
    callback_id: null,
    state: 'none',
    due_at: null,
    lease_expires_at: null,
    attempt: 0,
    settled_at: null,
    callback: { ...callback, events: before.body.callback.events, priority: 5 },
    attempts: [],
  })
  t.strictSame(before.body.callback.events.toSorted(), ['aborted', 'completed'])

  await s.decrement('due', { batch_index: 0 })
  const { body } = await read('due')
  t.strictSame(body, {
    ...before.body,
    state: 'due',
    callback_id: body.callback_id,
    due_at: body.due_at,
  })
  t.match(body.callback_id, /^cb_[\w-]{22}$/)
  t.equal(body.due_at.slice(0, 19), (await s.barrier('due')).body.closed_at.slice(0, 19))
  t.strictSame((await read('due')).body, body, 'with the same id each time')
})

t.test('data of the producer comes back digit by digit', async t => {
  const kwargs = '{"z":12345678901234567890,"a":[0.10,1e300]}'
  await s.call(
    'POST',
    '/executions/exact/barrier/enqueue',
    `{"total":1,"callback":{"queue":"q","task_name":"t","headers":{"x":"y"},"kwargs":${kwargs}}}`,
  )
  const { text, body } = await read('exact')
  t.ok(text.includes(`"kwargs":${kwargs}`))
  t.match(body.callback, { task_name: 't', headers: { x: 'y' }, priority: 5 })
})

t.test('a lease that is over reads as due from that moment on, wherever it is read', async t => {
  await s.enqueue('ended', { total: 0, callback: { queue: 'ended' } })
  const again = { total: 0, callback: { queue: 'ended' }, conflict_policy: 'use_existing' }
  const leased = await s.call('POST', '/callbacks/claim', { queue: 'ended', lease_seconds: 60 })
  const states = async () => [
    (await read('ended')).body.state,
    (await s.barrier('ended')).body.callback.state,
    (await s.call('GET', '/executions?prefix=ended')).body.data[0].callback.state,
    (await s.enqueue('ended', again)).body.callback.state,
    (await s.ack('ended', '1.9.x')).body.callback_state,
  ]
  t.strictSame(await states(), Array(5).fill('delivering'))
  const clock = async (lease: string) => {
    await s.database.query(`update barriers set ${lease} where execution_id = 'ended'`)
    t.strictSame(await states(), Array(5).fill('due'))
    t.match((await read('ended')).body, { lease_expires_at: null, attempt: 1, attempts: [] })
    t.ok(Date.parse((await read('ended')).body.due_at) <= Date.now())
  }
  await clock(`callback_due_at = now() - interval '1 second'`)
  await clock(
    `callback_leased_at = now() + interval '1 hour', callback_due_at = now() + interval '61 minutes'`,
  )
  t.equal(await s.app.reaper.endLeasesOnce(), 1, 'the clock was set back')
  t.equal(await s.app.reaper.endLeasesOnce(), 0)
  const [{ token }] = (await s.call('POST', '/callbacks/claim', { queue: 'ended' })).body.callbacks
  t.match(await s.ack('ended', leased.body.callbacks[0].token), { status: 409 })
  t.match(await s.ack('ended', token), { status: 200, body: { state: 'delivered', attempt: 2 } })
})

t.test('an end that is not among its events leaves it none', async t => {
  await s.enqueue('unwanted', { total: 1, callback: { queue: 'q' } })
  await s.abort('unwanted')
  t.match((await read('unwanted')).body, { state: 'none', callback_id: null, due_at: null })
})

t.test('a barrier without a callback, and no barrier, are told apart', async t => {
  await s.enqueue('without', { total: 1 })
  const without = await read('without')
  t.equal(without.status, 404)
  t.strictSame(without.body, {
    type: 'urn:rollcall:problem:callback_not_found',
    title: 'The barrier of this execution has no callback.',
    status: 404,
    detail: 'The barrier of this execution has no callback.',
    code: 'callback_not_found',
  })
  await s.claim('no-barrier', 0)
  const none = await read('no-barrier')
  t.equal(none.status, 404)
  t.strictSame(none.body, {
    type: 'urn:rollcall:problem:execution_not_found',
    title: 'This execution has no barrier, or none of this generation.',
    status: 404,
    detail: 'This execution has no barrier, or none of this generation.',
    code: 'execution_not_found',
  })
})

t.test('each generation has a callback of its own', async t => {
  await s.enqueue('again', { total: 0, callback: { queue: 'one' } })
  const first = (await read('again')).body
  await s.enqueue('again', { total: 0, callback: { queue: 'two' }, conflict_policy: 'replace' })
  const second = (await read('again')).body
  t.match(second, { generation: 2, state: 'due', callback: { queue: 'two' } })
  t.not(second.callback_id, first.callback_id)
})
