import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { tally, until } from '../../fixtures/gate.ts'
import { type Service, service } from '../../fixtures/service.ts'

const s = await service(t)
const other = await service(t, { database: s.database })

/** A barrier that is complete at once, so that its callback is due. */
const due = (execution: string, queue: string, callback: object = {}) =>
  s.enqueue(execution, { total: 0, callback: { queue, ...callback } })

const names = ({ body }: { body: { callbacks: { execution_id: string }[] } }) =>
  body.callbacks.map(({ execution_id }) => execution_id)

/** As if the time of the lease had passed. */
const endLease = (execution: string) =>
  s.database.query(
    `update barriers set callback_due_at = clock_timestamp() - interval '1 second'
    where execution_id = $1 and callback_state = 'delivering'`,
    [execution],
  )

/** Begins to wait, and resolves to the reply's promise once the service has looked and found nothing. */
async function waitAt(on: Service, queue: string, body: object = {}) {
  const reply = on.pull(queue, { wait_seconds: 50, ...body })
  await on.pull(queue)
  await on.pull(queue)
  return { reply }
}

t.test('the highest priority comes first, then what is due longest', async t => {
  const priorities = { a: 5, b: 1, c: 10, d: 5, e: 10, f: undefined }
  for (const [execution, priority] of Object.entries(priorities)) {
    await due(`order-${execution}`, 'order', { priority })
  }
  await s.database.query(
    `update barriers set callback_due_at = callback_due_at - interval '1 hour'
    where execution_id = 'order-d'`,
  )
  const first = await s.pull('order', { limit: 3 })
  t.strictSame(names(first), ['order-c', 'order-e', 'order-d'])
  t.strictSame(names(await s.pull('order', { limit: 100 })), ['order-a', 'order-f', 'order-b'])
  t.strictSame((await s.pull('order', { limit: 100 })).body, { callbacks: [] })
})

t.test('one is leased when no limit is given, and of no other queue', async t => {
  await due('one-a', 'one')
  await due('one-b', 'one')
  await due('one-c', 'another')
  t.strictSame(names(await s.pull('one')), ['one-a'])
  t.strictSame(names(await s.pull('one', { limit: 10 })), ['one-b'])
})

t.test('a lease is told whole, and the callback shows it', async t => {
  await due('whole', 'whole')
  const { status, body } = await s.pull('whole', { lease_seconds: 600 })
  t.equal(status, 200)
  const [leased] = body.callbacks
  const shown = (await s.callback('whole')).body
  t.strictSame(leased, {
    execution_id: 'whole',
    generation: 1,
    callback_id: shown.callback_id,
    token: leased.token,
    attempt: 1,
    lease_expires_at: shown.lease_expires_at,
    message: leased.message,
  })
  t.match(leased.token, /^1\.1\.[0-9a-f]{32}$/)
  t.match(shown, { state: 'delivering', due_at: null, attempt: 1, settled_at: null, attempts: [] })
  const [{ seconds } = {}] = await s.database.query<{ seconds: number }>(
    `select extract(epoch from callback_due_at - callback_leased_at)::float as seconds
    from barriers where execution_id = 'whole'`,
  )
  t.equal(Math.round(seconds ?? 0), 600)
})

t.test(
  'a lease that ends makes it due again, with a new token, and the old one is refused',
  async t => {
    await due('ended', 'ended')
    const [first] = (await s.pull('ended')).body.callbacks
    t.strictSame(names(await s.pull('ended')), [])
    await endLease('ended')
    const [second] = (await s.pull('ended')).body.callbacks
    t.strictSame(
      { ...second, token: 0, lease_expires_at: 0 },
      { ...first, attempt: 2, token: 0, lease_expires_at: 0 },
    )
    t.not(second.token, first.token)
    const refused = await s.ack('ended', first.token)
    t.equal(refused.status, 409)
    t.match(refused.body, { code: 'stale_token', callback_state: 'delivering', attempt: 2 })
    const { body } = await s.callback('ended')
    t.strictSame(body.attempts, [
      {
        attempt: 1,
        started_at: body.attempts[0].started_at,
        outcome: 'unknown',
        status: null,
        error: 'lease_ended',
        milliseconds: null,
        response: null,
      },
    ])
    t.match(body.attempts[0].started_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    t.equal((await s.ack('ended', second.token)).status, 200)
  },
)

t.test('the newest 20 attempts are kept', async t => {
  await due('often', 'often')
  for (let attempt = 1; attempt <= 23; attempt += 1) {
    const [{ token }] = (await s.pull('often')).body.callbacks
    await s.retry('often', token)
  }
  const { body } = await s.callback('often')
  t.equal(body.attempt, 23)
  t.strictSame(
    body.attempts.map(({ attempt }: { attempt: number }) => attempt),
    Array.from({ length: 20 }, (_, nth) => nth + 4),
  )
})

t.test('what was asked wrongly is refused', async t => {
  const wrong: Record<string, unknown>[] = [
    {},
    { queue: '' },
    { queue: 'é'.repeat(128) },
    { queue: 'a\u0000' },
    { queue: 'q', limit: 0 },
    { queue: 'q', limit: 101 },
    { queue: 'q', limit: '1' },
    { queue: 'q', lease_seconds: 4 },
    { queue: 'q', lease_seconds: 3601 },
    { queue: 'q', wait_seconds: 51 },
    { queue: 'q', wait_seconds: -1 },
    { queue: 'q', more: 1 },
  ]
  for (const body of wrong) {
    const reply = await s.call('POST', '/callbacks/claim', body)
    t.equal(reply.status, 400, JSON.stringify(body))
    t.equal(reply.body.code, 'invalid_request')
  }
  const { status, body } = await s.call('POST', '/callbacks/claim', { queue: 'q', limit: 0 })
  t.equal(status, 400)
  t.strictSame(body, {
    type: 'urn:rollcall:problem:invalid_request',
    title: 'The request breaks a rule of the schema; see errors.',
    status: 400,
    detail: 'limit: Too small: expected number to be >=1, got 0.',
    code: 'invalid_request',
    errors: [{ path: 'limit', message: 'Too small: expected number to be >=1, got 0.' }],
  })
})

t.test('a reply has 8 MiB of messages at most, and what is beyond stays due', async t => {
  // 30 messages of half a MiB, then one that has been built before.
  const result = 'x'.repeat(250_000)
  for (let nth = 0; nth < 30; nth += 1) {
    await s.enqueue(`large-${nth}`, { total: 2, callback: { queue: 'large' } })
    await s.decrement(`large-${nth}`, { batch_index: 0, result })
    await s.decrement(`large-${nth}`, { batch_index: 1, result })
  }
  const first = await s.pull('large', { limit: 100 })
  t.ok(first.text.length <= 8 * 1024 * 1024, `${first.text.length} bytes`)
  t.equal(first.body.callbacks.length, 16)
  t.strictSame(
    await s.database.query(
      `select callback_state as state, callback_attempt as attempt, callback_message is null as unbuilt,
        count(*)::integer
      from barriers where callback_queue = 'large' group by 1, 2, 3 order by 1`,
    ),
    [
      { state: 'delivering', attempt: 1, unbuilt: false, count: 16 },
      { state: 'due', attempt: 0, unbuilt: true, count: 14 },
    ],
  )
  t.equal((await s.pull('large', { limit: 100 })).body.callbacks.length, 14)
  // Built or not, the bound is the same.
  await s.database.query(
    `update barriers set callback_due_at = now() - interval '1 minute' where callback_queue = 'large'`,
  )
  const again = await s.pull('large', { limit: 100 })
  t.ok(again.text.length <= 8 * 1024 * 1024, `${again.text.length} bytes`)
  t.equal(again.body.callbacks.length, 16)
})

t.test('the first message is given however large it is', async t => {
  const roomy = await service(t, {
    database: s.database,
    settings: {
      ROLLCALL_INLINE_RESULTS_BYTES: String(16 * 1024 * 1024),
      ROLLCALL_RESULT_LIMIT_BYTES: String(16 * 1024 * 1024),
      ROLLCALL_BODY_LIMIT_BYTES: String(16 * 1024 * 1024),
    },
  })
  await s.enqueue('huge-0', { total: 1, callback: { queue: 'huge' } })
  await roomy.decrement('huge-0', { batch_index: 0, result: 'x'.repeat(9_000_000) })
  await due('huge-1', 'huge')
  t.strictSame(names(await roomy.pull('huge', { limit: 2 })), ['huge-0'])
  t.strictSame(names(await roomy.pull('huge', { limit: 2 })), ['huge-1'])
})

t.test('who waits is woken by a callback that becomes due, here or in another replica', async t => {
  const closings: Record<string, (on: Service, execution: string) => Promise<unknown>> = {
    decrement: (on, execution) => on.decrement(execution, { batch_index: 0 }),
    decrements: (on, execution) => on.decrements(execution, { batches: [{ batch_index: 0 }] }),
    abort: (on, execution) => on.abort(execution),
    replace: (on, execution) =>
      on.enqueue(execution, {
        total: 0,
        callback: { queue: execution },
        conflict_policy: 'replace',
      }),
  }
  for (const [words, close] of Object.entries(closings)) {
    for (const [where, closer] of Object.entries({ here: s, there: other })) {
      const execution = `woken-${words}-${where}`
      await s.enqueue(execution, {
        total: 1,
        callback: { queue: execution, events: ['completed', 'aborted'] },
      })
      const { reply } = await waitAt(s, execution)
      await close(closer, execution)
      t.strictSame(names(await reply), [execution], `${words} ${where}`)
    }
  }
})

t.test('who waits is woken by an enqueue of nothing, a retry and a redeliver', async t => {
  const first = await waitAt(s, 'stir')
  await other.enqueue('stir', { total: 0, callback: { queue: 'stir' } })
  const [one] = (await first.reply).body.callbacks

  const second = await waitAt(s, 'stir')
  await other.retry('stir', one.token)
  const [two] = (await second.reply).body.callbacks
  t.equal(two.attempt, 2)
  await s.ack('stir', two.token)

  const third = await waitAt(s, 'stir')
  await other.redeliver('stir')
  const [three] = (await third.reply).body.callbacks
  t.equal(three.attempt, 3)
  t.strictSame(three.message, one.message)
})

t.test('what becomes due by time is found by the look of every second', async t => {
  await due('time', 'time')
  const [{ token }] = (await s.pull('time')).body.callbacks
  await s.retry('time', token, { delay_seconds: 3600 })
  const { reply } = await waitAt(s, 'time')
  await s.database.query(
    `update barriers set callback_due_at = now() - interval '1 second' where execution_id = 'time'`,
  )
  await s.app.queues.lookOnce()
  t.strictSame(names(await reply), ['time'])
})

t.test('a wait that is over answers without callbacks', async t => {
  const start = performance.now()
  const { status, body } = await s.pull('nothing', { wait_seconds: 1 })
  t.equal(status, 200)
  t.strictSame(body, { callbacks: [] })
  t.ok(performance.now() - start >= 990)
})

t.test('a thousand who wait hold no connection, and one due callback wakes one or two', async t => {
  const small = await service(t, {
    database: s.database,
    settings: { ROLLCALL_POOL_SIZE: '2', ROLLCALL_POOL_WAIT_SECONDS: '30' },
  })
  const { pool } = small.app.database
  let answered = 0
  const waiting = Array.from({ length: 1000 }, async () => {
    const reply = await small.pull('crowd', { wait_seconds: 50 })
    answered += 1
    return reply
  })
  await small.pull('crowd')
  await until(() => pool.idleCount === pool.totalCount, 'nobody holds a connection')

  let queries = 0
  pool.on('acquire', () => (queries += 1))
  await other.enqueue('crowd-first', { total: 0, callback: { queue: 'crowd' } })
  await until(() => answered === 1, 'one of them has it')
  await until(() => pool.idleCount === pool.totalCount, 'nobody holds a connection')
  t.ok(queries <= 10, `${queries} queries for one callback`)

  await s.database.query(
    `insert into barriers (
      execution_id, total, state, closed_at, closing_nonce, fingerprint, enqueue_nonce, expires_at, callback,
      callback_queue, callback_priority, callback_events, callback_state, callback_id, callback_due_at
    )
    select 'crowd-' || number, 0, 'completed', now(), 'c', 'f', 'n', now(),
      '{"queue":"crowd","events":["completed"],"priority":5}', 'crowd', 5, '{completed}', 'due', 'cb_' || number, now()
    from generate_series(1, 999) as number`,
  )
  await small.app.queues.lookOnce()
  const replies = await Promise.all(waiting)
  t.strictSame(tally(replies.map(reply => String(names(reply).length))), { '1': 1000 })
  t.equal(new Set(replies.flatMap(names)).size, 1000)
})

t.test('a draining service answers who waits', async t => {
  const draining = await service(t, { database: s.database })
  const { reply } = await waitAt(draining, 'draining')
  await draining.app.close()
  t.match(await reply, { status: 200, body: { callbacks: [] } })
})

t.test('for a client that went away while it waited nothing is leased', async t => {
  const listening = await service(t, { database: s.database })
  await listening.app.listen({ port: 0 })
  const { port } = listening.app.server.address() as AddressInfo
  const arrived = once(listening.app.server, 'request')
  const client = request({
    port,
    method: 'POST',
    path: '/callbacks/claim',
    headers: { 'content-type': 'application/json' },
  })
  client.on('error', () => undefined)
  client.end(JSON.stringify({ queue: 'gone', wait_seconds: 50 }))
  const [, response] = (await arrived) as [unknown, NodeJS.EventEmitter]
  // Looks of one replica come after each other, so the client's first is over.
  await listening.pull('gone')
  const closed = once(response, 'close')
  client.destroy()
  await closed
  await due('gone', 'gone')
  await listening.app.queues.lookOnce()
  t.match((await s.callback('gone')).body, { state: 'due', attempt: 0 })
  t.strictSame(names(await listening.pull('gone')), ['gone'])
})
