import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { until } from '../fixtures/gate.ts'
import { service } from '../fixtures/service.ts'

const s = await service(t)
await s.app.listen({ host: '127.0.0.1', port: 0 })

/** Sends bytes to the service, and the rest once it has answered, and reads what comes until the socket closes. */
async function exchange(bytes: string, rest?: string) {
  const { port } = s.app.server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write(bytes)
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  if (rest !== undefined) socket.once('data', () => socket.write(rest))
  await once(socket, 'close')
  const [head = '', body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n', 2)
  return { head, body: body === '' ? undefined : (JSON.parse(body) as unknown) }
}

t.test('a request that does not arrive in time is told so', async t => {
  // Node looks once a second; the limits are moved and nobody waits for 30 s.
  Object.assign(s.app.server, { headersTimeout: 1, requestTimeout: 1 })
  t.teardown(() => Object.assign(s.app.server, { headersTimeout: 10_000, requestTimeout: 30_000 }))
  const partial = [
    'POST /executions/a/batches/0/claim HTTP/1.1\r\nhost: localhost\r\n',
    'POST /executions/a/batches/0/claim HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{',
  ]
  for (const { head, body } of await Promise.all(partial.map(bytes => exchange(bytes)))) {
    t.match(head, /^HTTP\/1\.1 408 Request Timeout\r\n/)
    t.match(head, /content-type: application\/problem\+json/i)
    t.match(head, /connection: close/i)
    t.strictSame(body, {
      type: 'urn:rollcall:problem:request_timeout',
      title: 'The request did not arrive in time.',
      status: 408,
      detail: 'The request did not arrive in time.',
      code: 'request_timeout',
    })
  }
  t.strictSame(await s.database.query('select from batches'), [])
})

t.test('a request that was told so is not done, though its rest comes after all', async t => {
  Object.assign(s.app.server, { headersTimeout: 1, requestTimeout: 1 })
  t.teardown(() => Object.assign(s.app.server, { headersTimeout: 10_000, requestTimeout: 30_000 }))
  const head = 'POST /executions/a/batches/0/claim HTTP/1.1\r\nhost: localhost\r\n'
  const body = 'content-type: application/json\r\ncontent-length: 2\r\n\r\n'
  for (const [half, rest] of [
    [`${head}${body}{`, '}'],
    [head, `${body}{}`],
  ] as const) {
    t.match(await exchange(half, rest), { head: /^HTTP\/1\.1 408 / })
    await until(() => s.app.drain.inFlight === 0, 'the request is over')
  }
  t.strictSame(await s.database.query('select from batches'), [])
})

t.test('headers above the limit are too large', async t => {
  const { head, body } = await exchange(
    `GET /livez HTTP/1.1\r\nhost: localhost\r\nx-large: ${'x'.repeat(20_000)}\r\n\r\n`,
  )
  t.match(head, /^HTTP\/1\.1 431 /)
  t.match(head, /content-type: application\/problem\+json/i)
  t.strictSame(body, {
    type: 'urn:rollcall:problem:headers_too_large',
    title: 'The request headers are larger than the limit.',
    status: 431,
    detail: 'The request headers are larger than the limit.',
    code: 'headers_too_large',
  })
})

t.test('what is no HTTP is refused as problem details', async t => {
  for (const bytes of [
    'hello\r\n\r\n',
    'GET /livez HTTP/9.9\r\n\r\n',
    'GET /livez HTTP/1.1\r\nhost a\r\n\r\n',
    'POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n',
  ]) {
    const { head, body } = await exchange(bytes)
    t.match(head, /^HTTP\/1\.1 400 /)
    t.match(head, /content-type: application\/problem\+json/i)
    t.match(body, { status: 400, code: 'invalid_request', errors: [{ path: '', message: String }] })
  }
})

t.test('a body that its sender gave up is no failure of the service', async t => {
  const reply = await s.app.inject({
    method: 'POST',
    url: '/executions/a/batches/0/claim',
    headers: { 'content-type': 'application/json' },
    payload: '{}',
    simulate: { end: true, split: false, error: true, close: false },
  })
  t.match(reply.json(), { status: 400, code: 'invalid_request', errors: [{ path: '' }] })
  t.strictSame(await s.database.query('select from batches'), [])
})

t.test(
  'what a plugin refuses is the fault of the caller, never a failure of the service',
  async t => {
    const beside = ['..%5cx', '%2e%2e/x', '%00', '/x', '..%2f..%2fpackage.json', 'x'.repeat(300)]
    for (const name of beside) {
      const { status, body } = await s.call('GET', `/docs/static/${name}`)
      t.match({ status, body }, { status: 404, body: { code: 'route_not_found' } }, name)
    }
    // A file in memory is sent whole, whatever part or version of it is asked for.
    for (const headers of [{ range: 'bytes=9999999-' }, { 'if-match': '"x"' }]) {
      const { status } = await s.call('GET', '/docs/static/index.css', undefined, headers)
      t.match(status, 200, headers)
    }
  },
)

t.test('a defect is an internal error that shows nothing of its inside', async t => {
  await s.database.query(
    `alter table batches add constraint broken_on_purpose check (batch_index <> 7)`,
  )
  const [seven, eight] = await Promise.all([s.claim('defect', 7), s.claim('defect', 8)])
  t.equal(eight.status, 200, 'and spoils nobody else in its run')
  t.equal(seven.status, 500)
  t.equal(seven.headers['content-type'], 'application/problem+json')
  t.match(seven.body, {
    type: 'urn:rollcall:problem:internal_error',
    title: String,
    status: 500,
    detail: String,
    code: 'internal_error',
    effect: 'none',
  })
  t.notMatch(seven.text, /broken_on_purpose|batches/)
  await s.database.query('alter table batches drop constraint broken_on_purpose')
})

t.test('a server that cannot be reached is database_unavailable, with Retry-After', async t => {
  // A port that was just free: nobody listens there.
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  const away = await service(t, {
    database: { ...s.database, url: `postgres://nobody@127.0.0.1:${port}/nothing` },
  })
  const routes: [method: string, url: string, body?: object][] = [
    ['POST', '/executions/a/batches/0/claim'],
    ['POST', '/executions/a/barrier/enqueue', { total: 1 }],
    ['GET', '/executions/a/barrier'],
    ['GET', '/readyz'],
    ['GET', '/health'],
  ]
  await Promise.all(
    routes.map(async ([method, url, body]) => {
      const reply = await away.call(method, url, body)
      t.equal(reply.status, 503, url)
      t.match(reply.headers, { 'retry-after': /^[1-9]\d*$/ }, url)
      t.strictSame(
        reply.body,
        {
          type: 'urn:rollcall:problem:database_unavailable',
          title: 'The database does not answer; the same call may be repeated.',
          status: 503,
          detail: 'The database does not answer; the same call may be repeated.',
          code: 'database_unavailable',
          effect: 'none',
        },
        url,
      )
    }),
  )
  t.equal((await away.call('GET', '/livez')).status, 200)
})

t.test('a database that was lost is unavailable until it is back, and heals by itself', async t => {
  const lost = await service(t)
  await lost.enqueue('lost', { total: 1 })
  const [row] = await lost.database.query<{ name: string }>('select current_database() as name')
  const name = row?.name ?? ''
  const allow = (allowed: boolean) =>
    s.database.query(`alter database "${name}" allow_connections ${String(allowed)}`)
  await allow(false)
  await s.database.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1',
    [name],
  )
  const replies = await Promise.all([
    lost.claim('lost', 0),
    lost.decrement('lost', { batch_index: 0 }),
    lost.barrier('lost'),
    lost.clear('lost'),
  ])
  for (const { status, headers, body } of replies) {
    t.equal(status, 503)
    t.match(headers, { 'retry-after': /^[1-9]\d*$/ })
    t.match(body, { code: 'database_unavailable', effect: /^(none|unknown)$/ })
  }
  await allow(true)
  t.match((await lost.claim('lost', 0)).body, { outcome: 'granted', attempt: 1 })
  t.match((await lost.decrement('lost', { batch_index: 0 })).body, { outcome: 'recorded' })
})

t.test('a row that stays locked is overloaded, with no effect', async t => {
  const impatient = await service(t, {
    database: s.database,
    settings: { ROLLCALL_LOCK_TIMEOUT_SECONDS: '1' },
  })
  await s.enqueue('locked', { total: 2 })
  const { body: claim } = await s.claim('locked', 0)
  await s.claim('locked-alone', 0)
  const holder = await s.database.pool.connect()
  t.teardown(() => holder.release())
  await holder.query('begin')
  await holder.query(`select from barriers where execution_id = 'locked' for update`)
  await holder.query(`select from batches for update`)
  const replies = await Promise.all([
    impatient.decrement('locked', { batch_index: 0 }),
    impatient.decrements('locked', { batches: [{ batch_index: 1 }] }),
    impatient.abort('locked'),
    impatient.enqueue('locked', { total: 1, conflict_policy: 'replace' }),
    impatient.clear('locked'),
    impatient.heartbeat('locked', 0, { token: claim.token }),
    impatient.finish('locked-alone', 0, { token: 'x' }),
  ])
  await holder.query('rollback')
  for (const { status, headers, body } of replies) {
    t.equal(status, 503)
    t.match(headers, { 'retry-after': /^[1-9]\d*$/ })
    t.strictSame(body, {
      type: 'urn:rollcall:problem:overloaded',
      title: 'The service or one row is too busy; the same call may be repeated.',
      status: 503,
      detail: 'The service or one row is too busy; the same call may be repeated.',
      code: 'overloaded',
      effect: 'none',
    })
  }
  t.match((await s.barrier('locked')).body, { state: 'open', generation: 1, remaining: 2 })
})

t.test('a pool that is exhausted is overloaded, with no effect', async t => {
  const small = await service(t, {
    database: s.database,
    settings: { ROLLCALL_POOL_SIZE: '1', ROLLCALL_POOL_WAIT_SECONDS: '1' },
  })
  await small.claim('pool', 0)
  const client = await small.app.database.pool.connect()
  const { status, headers, body } = await small.claim('pool', 1)
  client.release()
  t.equal(status, 503)
  t.match(headers, { 'retry-after': /^[1-9]\d*$/ })
  t.match(body, { code: 'overloaded', effect: 'none' })
  t.strictSame(await s.database.query(`select from batches where batch_index = 1`), [])
  t.equal((await small.claim('pool', 1)).status, 200)
})

t.test('a statement that was cancelled has no effect', async t => {
  const busy = await service(t, { database: s.database })
  await s.enqueue('cancelled', { total: 1 })
  const holder = await s.database.pool.connect()
  t.teardown(() => holder.release())
  await holder.query('begin')
  await holder.query(`select from barriers where execution_id = 'cancelled' for update`)
  const waiting = busy.abort('cancelled')
  const cancel = () =>
    s.database.query(
      `select pg_cancel_backend(pid) from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock'`,
    )
  while ((await cancel()).length === 0) await setImmediate()
  const { status, body } = await waiting
  await holder.query('rollback')
  t.equal(status, 503)
  t.match(body, { code: 'overloaded', effect: 'none' })
  t.match((await s.barrier('cancelled')).body, { state: 'open' })
})

t.test('a write that lost its connection is repeated, and takes effect once', async t => {
  await s.enqueue('killed', { total: 2 })
  const holder = await s.database.pool.connect()
  t.teardown(() => holder.release())
  await holder.query('begin')
  await holder.query(`select from barriers where execution_id = 'killed' for update`)
  const waiting = s.abort('killed', { reason: 'once' })
  const kill = () =>
    s.database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock'`,
    )
  while ((await kill()).length === 0) await setImmediate()
  await holder.query('rollback')
  t.match(await waiting, { status: 200, body: { outcome: 'aborted', reason: 'once' } })
})
