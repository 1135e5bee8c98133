import t from 'tap'
import { probes, routes } from '../fixtures/routes.ts'
import { service } from '../fixtures/service.ts'

t.test('a service that drains is red first and still serves', async t => {
  const s = await service(t)
  await s.enqueue('drained', { total: 1 })
  s.app.drain.begin()
  for (const [method, url] of probes) {
    const { status, headers, body } = await s.call(method, url)
    t.equal(status, 503)
    t.match(headers, { 'retry-after': /^[1-9]\d*$/ })
    t.strictSame(body, {
      type: 'urn:rollcall:problem:draining',
      title: 'The service is stopping; send the call to another replica.',
      status: 503,
      detail: 'The service is stopping; send the call to another replica.',
      code: 'draining',
      effect: 'none',
    })
  }
  t.equal((await s.call('GET', '/livez')).status, 200)
  t.equal((await s.claim('drained', 0)).status, 200)
})

t.test('then it refuses what is new, and waits for what is in flight', async t => {
  const s = await service(t)
  await s.enqueue('refused', { total: 1 })
  const holder = await s.database.pool.connect()
  t.teardown(() => holder.release())
  await holder.query('begin')
  await holder.query(`select from barriers where execution_id = 'refused' for update`)
  const inFlight = s.decrement('refused', { batch_index: 0 })
  await s.barrier('refused')
  let isIdle = false
  const idle = s.app.drain.refuse().then(() => (isIdle = true))
  for (const [method, url, body] of routes) {
    const reply = await s.call(method, url, body)
    t.equal(reply.status, 503, `${method} ${url}`)
    t.match(reply.headers, { 'retry-after': /^[1-9]\d*$/ })
    t.match(reply.body, { code: 'draining', effect: 'none' })
  }
  t.equal(isIdle, false)
  await holder.query('rollback')
  t.match(await inFlight, { status: 200, body: { outcome: 'recorded' } })
  await idle
  t.strictSame(await s.database.query(`select from batches where execution_id = 'a'`), [])
})
