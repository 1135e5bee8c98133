import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { poll } from '../../src/database/embedded/poll.ts'
import { readMigrations } from '../../src/database/migrate/files.ts'
import { clonedDatabase, type Database } from '../fixtures/database.ts'
import { until } from '../fixtures/gate.ts'
import { probes, routes } from '../fixtures/routes.ts'
import { type Reply, service } from '../fixtures/service.ts'

const newest = (await readMigrations()).at(-1)?.version ?? 0

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

t.test('a clock that is set back does not keep a verdict', async t => {
  const database = await clonedDatabase(t)
  const [row] = await database.query<{ name: string }>('select current_database() as name')
  const s = await service(t, { database })
  t.equal((await s.call('GET', '/readyz')).status, 200)
  const real = Date.now
  t.teardown(() => (Date.now = real))
  Date.now = () => real() - 3_600_000
  const readOnly = async (word: string) => {
    await database.query(
      `begin read write; alter database "${row?.name ?? ''}" set default_transaction_read_only = ${word}; commit`,
    )
    await database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and application_name = 'rollcall'`,
    )
  }
  await readOnly('on')
  await until(async () => (await s.call('GET', '/readyz')).status === 503, 'it is not ready')
  await readOnly('off')
  await until(async () => (await s.call('GET', '/readyz')).status === 200, 'it is ready again')
})

t.test(
  'what is missing in the schema, or not granted, is told by readiness as by requests',
  async t => {
    const database = await clonedDatabase(t)
    const s = await service(t, { database })
    const broken: [harm: string, mend: string, reason: RegExp][] = [
      [
        'alter table batches rename to b2',
        'alter table b2 rename to batches',
        /relation "batches" does not exist/,
      ],
      [
        'alter table barriers rename column total to whole',
        'alter table barriers rename column whole to total',
        /column "total" of relation "barriers" does not exist/,
      ],
      [
        'alter function rfc3339 rename to lost',
        'alter function lost rename to rfc3339',
        /function rfc3339\(.*\) does not exist/,
      ],
      [
        'alter table batches drop constraint batches_key',
        'alter table batches add constraint batches_key primary key (namespace, execution_id, generation, batch_index)',
        /no unique or exclusion constraint/,
      ],
    ]
    for (const [harm, mend, reason] of broken) {
      await database.query(harm)
      const red = async () => ((await s.call('GET', '/readyz')).status === 503 ? true : undefined)
      t.equal(await poll(red, { forMs: 10_000 }), true, harm)
      mustBeUnready(t, await s.claim('a', 0), reason)
      await database.query(mend)
      const green = async () => ((await s.call('GET', '/readyz')).status === 200 ? true : undefined)
      t.equal(await poll(green, { forMs: 10_000 }), true, mend)
    }
  },
)

t.test('readiness looks at every column and calls every function of the schema', async t => {
  const database = await clonedDatabase(t)
  const judge = await readFile(
    join(import.meta.dirname, '..', '..', 'src', 'plugins', 'readiness', 'judge.sql'),
    'utf8',
  )
  const columns = await database.query<{ harm: string }>(
    `select format('alter table %I rename column %I to gone', attrelid::regclass, attname) as harm
    from pg_attribute
    where attrelid in ('barriers'::regclass, 'batches'::regclass) and attnum > 0 and not attisdropped`,
  )
  const functions = await database.query<{ harm: string }>(
    `select format('alter function %s rename to gone', oid::regprocedure) as harm
    from pg_proc
    where pronamespace = 'public'::regnamespace and prorettype <> 'trigger'::regtype`,
  )
  t.ok(columns.length > 50 && functions.length > 5)
  const client = await database.pool.connect()
  for (const { harm } of [{ harm: 'select' }, ...columns, ...functions]) {
    await client.query(`begin; ${harm}`)
    const isSeen = await client.query(judge).then(
      () => false,
      () => true,
    )
    await client.query('rollback')
    t.equal(isSeen, harm !== 'select', harm)
  }
  client.release()
})

t.test('a role that lacks a right is not ready, and says which', async t => {
  const database = await clonedDatabase(t)
  const role = `role_${randomUUID().replaceAll('-', '')}`
  await database.query(
    `create role ${role}; grant usage on schema public to ${role};
    grant select, insert, update, delete on all tables in schema public to ${role}`,
  )
  t.teardown(() => database.query(`drop owned by ${role}; drop role ${role}`))
  const url = `${database.url}&options=${encodeURIComponent(`-c role=${role}`)}`
  const s = await service(t, { database: { ...database, url } })
  t.equal((await s.call('GET', '/readyz')).status, 200)
  for (const right of ['select', 'insert', 'update', 'delete']) {
    await database.query(`revoke ${right} on batches from ${role}`)
    const red = async () => ((await s.call('GET', '/readyz')).status === 503 ? true : undefined)
    t.equal(await poll(red, { forMs: 10_000 }), true, right)
    mustBeUnready(
      t,
      await s.claim('a', 0),
      /lacks a right: permission denied for table batches; grant it/,
    )
    await database.query(`grant ${right} on batches to ${role}`)
    const green = async () => ((await s.call('GET', '/readyz')).status === 200 ? true : undefined)
    t.equal(await poll(green, { forMs: 10_000 }), true, right)
  }
  await database.query('alter table batches enable row level security')
  const hidden = async () => ((await s.call('GET', '/readyz')).status === 503 ? true : undefined)
  t.equal(await poll(hidden, { forMs: 10_000 }), true)
  mustBeUnready(t, await s.claim('a', 0), /Row-level security hides rows/)
})

t.test('a database in another encoding is not ready', async t => {
  const beside = await clonedDatabase(t)
  const name = `encoded_${randomUUID()}`
  await beside.query(`create database "${name}" encoding 'LATIN1' locale 'C' template template0`)
  t.teardown(() => beside.query(`drop database "${name}" with (force)`))
  const url = beside.url.replace(/test_[\w-]+/, name)
  const s = await service(t, { database: { ...beside, url } })
  mustBeUnready(
    t,
    await s.call('GET', '/readyz'),
    /has the encoding LATIN1, and Rollcall needs UTF8/,
  )
})

t.test('settings of the database and of DATABASE_URL do not change what is read', async t => {
  const database = await clonedDatabase(t)
  const [row] = await database.query<{ name: string }>('select current_database() as name')
  for (const setting of [
    `timezone = 'Asia/Kolkata'`,
    `datestyle = 'German'`,
    'bytea_output = escape',
  ]) {
    await database.query(`alter database "${row?.name ?? ''}" set ${setting}`)
  }
  const s = await service(t, {
    database: { ...database, url: `${database.url}&client_encoding=LATIN1` },
  })
  await s.enqueue('other', { total: 1, metadata: { a: '\u20ac' } })
  t.match((await s.barrier('other')).body, { metadata: { a: '\u20ac' }, created_at: /T.*Z$/ })
})
