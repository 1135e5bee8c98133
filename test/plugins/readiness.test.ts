import t, { type Test } from 'tap'
import { readMigrations } from '../../src/database/migrate/files.ts'
import { clonedDatabase, type Database } from '../fixtures/database.ts'
import { type Reply, service } from '../fixtures/service.ts'

const newest = (await readMigrations()).at(-1)?.version ?? 0

const routes: [method: string, url: string, body?: object][] = [
  ['POST', '/executions/a/batches/0/claim'],
  ['POST', '/executions/a/batches/0/heartbeat', { token: 'x' }],
  ['POST', '/executions/a/batches/0/release', { token: 'x' }],
  ['POST', '/executions/a/batches/0/finish', { token: 'x' }],
  ['POST', '/executions/a/batches/claim', { batch_indexes: [0] }],
  ['GET', '/executions/a/batches/0'],
  ['GET', '/executions/a/batches'],
  ['DELETE', '/executions/a/batches'],
  ['POST', '/executions/a/barrier/enqueue', { total: 1 }],
  ['POST', '/executions/a/barrier/decrement', { batch_index: 0 }],
  ['POST', '/executions/a/barrier/decrements', { batches: [{ batch_index: 0 }] }],
  ['POST', '/executions/a/barrier/abort'],
  ['GET', '/executions/a/barrier'],
  ['GET', '/executions'],
  ['GET', '/executions/a/callback'],
]
const probes: [method: string, url: string][] = [
  ['GET', '/readyz'],
  ['GET', '/health'],
]

function mustBeUnready(t: Test, reply: Reply, detail: RegExp): void {
  t.equal(reply.status, 503)
  t.match(reply.headers, {
    'content-type': 'application/problem+json',
    'retry-after': /^[1-9]\d*$/,
  })
  t.match(reply.body, {
    type: 'urn:rollcall:problem:not_ready',
    title: 'The service cannot serve yet; /readyz says why.',
    status: 503,
    detail,
    code: 'not_ready',
    effect: 'none',
  })
}

t.test('a database that is behind is not ready, and every route says so', async t => {
  const database = await clonedDatabase(t)
  await database.query('delete from rollcall_migrations')
  const s = await service(t, { database })
  for (const [method, url, body] of [...probes, ...routes] as typeof routes) {
    mustBeUnready(t, await s.call(method, url, body), /behind.*rollcall migrate/)
  }
  t.equal((await s.call('GET', '/livez')).status, 200)
  t.strictSame(await database.query('select from batches'), [])
})

t.test('a database without a schema is behind as well', async t => {
  const database = await clonedDatabase(t)
  await database.query('drop schema public cascade')
  await database.query('create schema public')
  const s = await service(t, { database })
  for (const [method, url] of probes) {
    mustBeUnready(t, await s.call(method, url), /behind.*rollcall migrate/)
  }
  mustBeUnready(t, await s.claim('a', 0), /behind.*rollcall migrate/)
})

/** As a newer service leaves it, whose newest migration says which services may still run. */
const goAhead = (database: Database, oldestService: number) =>
  database.query(
    `insert into rollcall_migrations (version, name, checksum, oldest_service) values (9999, 'new', 'x', $1)`,
    [oldestService],
  )

t.test('a schema that is ahead is ready for a service that knows enough of it', async t => {
  const database = await clonedDatabase(t)
  await goAhead(database, newest)
  const s = await service(t, { database })
  for (const probe of probes) t.equal((await s.call(...probe)).status, 200)
  t.equal((await s.claim('a', 0)).status, 200)
})

t.test('one that is further ahead is not ready, and every route says so', async t => {
  const database = await clonedDatabase(t)
  await goAhead(database, newest + 1)
  const s = await service(t, { database })
  for (const [method, url, body] of [...probes, ...routes] as typeof routes) {
    mustBeUnready(t, await s.call(method, url, body), /9999, ahead .*deploy the newer service/)
  }
})

t.test('a database that may lose acknowledged writes is not ready, unless told so', async t => {
  const database = await clonedDatabase(t)
  const [row] = await database.query<{ name: string }>('select current_database() as name')
  await database.query(`alter database "${row?.name ?? ''}" set synchronous_commit = off`)
  const s = await service(t, { database })
  for (const [method, url] of probes) {
    mustBeUnready(t, await s.call(method, url), /synchronous_commit is off/)
  }
  mustBeUnready(t, await s.claim('a', 0), /synchronous_commit is off/)
  t.strictSame(await database.query('select from batches'), [])

  const daring = await service(t, {
    database,
    settings: { ROLLCALL_ALLOW_UNSAFE_DURABILITY: 'true' },
  })
  t.equal((await daring.call('GET', '/readyz')).status, 200)
  t.equal((await daring.claim('a', 0)).status, 200)
})

t.test('a connection that lost its time-outs, as behind a pooler, is not ready', async t => {
  const s = await service(t, { settings: { ROLLCALL_POOL_SIZE: '1' } })
  await s.app.pg.pool.query('reset statement_timeout')
  for (const probe of probes) mustBeUnready(t, await s.call(...probe), /give them to the role/)
})

t.test('a database that takes no writes is not ready', async t => {
  const database = await clonedDatabase(t)
  const [row] = await database.query<{ name: string }>('select current_database() as name')
  await database.query(`alter database "${row?.name ?? ''}" set default_transaction_read_only = on`)
  const s = await service(t, { database })
  mustBeUnready(t, await s.call('GET', '/readyz'), /no writes/)
  mustBeUnready(t, await s.claim('a', 0), /no writes/)
})

t.test('a service that drains is red first and still serves', async t => {
  const s = await service(t)
  await s.enqueue('drained', { total: 1 })
  s.app.readiness.drain()
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
  const idle = s.app.readiness.refuse().then(() => (isIdle = true))
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
