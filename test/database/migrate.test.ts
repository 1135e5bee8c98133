import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { migrate } from '../../src/database/migrate.ts'
import { readMigrations } from '../../src/database/migrate/files.ts'
import { wrongWithStanding } from '../../src/database/migrate/standing.ts'
import { poll } from '../../src/database/embedded/poll.ts'
import { type Database, clonedDatabase, emptyDatabase } from '../fixtures/database.ts'

const migrations = await readMigrations()
const newest = migrations.at(-1)?.version

const objectsOf = (database: Database) =>
  database.query(
    `select relname, relkind from pg_class where relnamespace = 'public'::regnamespace order by relname`,
  )
const recordOf = (database: Database) =>
  database.query<{ version: number }>('select * from rollcall_migrations order by version')

/** A folder of migrations for one test. */
async function folderOf(t: Test, files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-migrations-'))
  t.teardown(() => rm(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), `-- oldest service: 1\n${text}`)
  }
  return folder
}

/** Ends the session that waits for a lock, as the death of its client and of its server process would. */
async function killWaiting(database: Database): Promise<void> {
  const kill = async () => {
    const killed = await database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'rollcall migrate' and wait_event_type = 'Lock'`,
    )
    return killed.length > 0 || undefined
  }
  await poll(kill, { forMs: 20_000 })
}

t.test('every migration says what it needs, in ASCII, and the numbers have no gap', async t => {
  for (const { file, text } of migrations) t.match(text, /^[\x20-\x7e\n]*$/, file)
  t.strictSame(
    migrations.map(({ version }) => version),
    migrations.map((_, index) => index + 1),
  )
  const folder = await folderOf(t, {})
  await writeFile(join(folder, '0001.silent.sql'), 'select 1;')
  await t.rejects(readMigrations(folder), /0001\.silent\.sql needs .*"-- oldest service: 1"/)
  const misnamed = await folderOf(t, { '1.do.sql': 'select 1;' })
  await t.rejects(readMigrations(misnamed), /1\.do\.sql needs a name like/)
})

t.test('a migration reads and writes no row of a table that it locks', async t => {
  const database = await emptyDatabase(t)
  const client = await database.pool.connect()
  // The first two make the tables.
  for (const { text } of migrations.slice(0, 2)) await client.query(text)
  await client.query(
    `insert into barriers (execution_id, total, fingerprint, enqueue_nonce, expires_at)
    values ('run', 9, 'f', 'n', now() + interval '1 hour');
    insert into batches (execution_id, generation, batch_index, state, attempt, token)
    select 'run', 1, n, 'claimed', 1, '1.1.x' from generate_series(1, 9) as n`,
  )
  for (const { file, text, alone } of migrations.slice(2)) {
    for (const one of alone ?? []) await client.query(one)
    if (alone) continue
    // What this session did before is counted no more.
    await client.query('select pg_stat_force_next_flush()')
    await client.query('begin')
    await client.query(text)
    const { rows } = await client.query(
      `select relname from pg_stat_xact_user_tables
      where seq_tup_read > 0 or idx_tup_fetch > 0 or n_tup_ins > 0 or n_tup_upd > 0 or n_tup_del > 0`,
    )
    t.strictSame(rows, [], file)
    await client.query('commit')
  }
  const { rows: unfinished } = await client.query(
    `select conname from pg_constraint where not convalidated
    union all
    select indexrelid::regclass::text from pg_index where not indisvalid`,
  )
  client.release()
  t.strictSame(unfinished, [], 'and what was put off is done by the end')
})

t.test('five replicas that migrate at once make one schema, by one of them', async t => {
  const database = await emptyDatabase(t)
  const results = await Promise.all([1, 2, 3, 4, 5].map(() => migrate(database.url)))
  t.strictSame(
    results.map(({ version }) => version),
    results.map(() => newest),
  )
  t.equal(results.filter(({ applied }) => applied.length > 0).length, 1, 'one did the work')
  t.equal((await recordOf(database)).length, migrations.length, 'each file once')
  const template = await clonedDatabase(t)
  t.strictSame(await objectsOf(database), await objectsOf(template))
})

t.test('a second run has nothing to do and changes nothing', async t => {
  const database = await clonedDatabase(t)
  const before = await recordOf(database)
  t.match(await migrate(database.url), { version: newest, applied: [], behind: false })
  t.strictSame(await recordOf(database), before)
})

t.test('with nothing to do it needs no right but to read, and no primary', async t => {
  const database = await clonedDatabase(t)
  await database.query(
    `alter database "${await nameOf(database)}" set default_transaction_read_only = on`,
  )
  t.match(await migrate(database.url), { version: newest, applied: [] })
})

t.test('data stays through a second run', async t => {
  const database = await clonedDatabase(t)
  await database.query(
    `insert into barriers (execution_id, total, fingerprint, enqueue_nonce, expires_at)
     values ('kept', 1, 'f', 'n', now() + interval '1 hour')`,
  )
  await migrate(database.url)
  t.equal((await database.query('select from barriers')).length, 1)
})

t.test('a schema that is ahead is left alone, and says which service may run on it', async t => {
  const database = await clonedDatabase(t)
  const ahead = (oldest: number | undefined) =>
    database.query(
      `insert into rollcall_migrations (version, name, checksum, oldest_service) values (9999, 'new', 'x', $1)
       on conflict (version) do update set oldest_service = $1`,
      [oldest],
    )
  await ahead(newest)
  const before = [await objectsOf(database), await recordOf(database)]
  const near = await migrate(database.url)
  t.match(near, { version: 9999, newest, applied: [], behind: false })
  t.equal(wrongWithStanding(near), undefined)
  t.strictSame([await objectsOf(database), await recordOf(database)], before)

  await ahead(9998)
  const far = await migrate(database.url)
  t.match(far, { version: 9999, applied: [] })
  t.equal(
    wrongWithStanding(far),
    `The schema is at version 9999, ahead of ${newest}, and needs a service that knows migration 9998; deploy the newer service.`,
  )
})

t.test('a database of another line of builds is refused', async t => {
  const database = await clonedDatabase(t)
  await database.query(`update rollcall_migrations set checksum = 'x' where version = 2`)
  await t.rejects(migrate(database.url), {
    name: 'StartFailure',
    message: /^Migration 2 of this database .* is not the one of this build/,
  })
})

t.test('a migration that is killed in its transaction leaves nothing half done', async t => {
  const database = await emptyDatabase(t)
  const holder = await database.pool.connect()
  await holder.query('begin; create table barriers ()')
  const running = migrate(database.url).catch((error: unknown) => error)
  await killWaiting(database)
  t.match(await running, { name: 'StartFailure', message: /Nothing of it is left/ })
  await holder.query('rollback')
  holder.release()
  t.strictSame(
    (await objectsOf(database)).filter(({ relname }) => !relname.startsWith('rollcall_migrations')),
    [],
    'nothing of it is there',
  )
  t.match(await migrate(database.url), { version: newest })
})

t.test('one that is killed outside a transaction is finished by the next run', async t => {
  const database = await emptyDatabase(t)
  const folder = await folderOf(t, {
    '0001.table.sql': 'create table things (one integer);',
    '0002.indexes.sql': `-- transaction: none
drop index concurrently if exists things_one;
create index concurrently things_one on things (one);
`,
  })
  await migrate(database.url, {
    folder: await folderOf(t, { '0001.table.sql': 'create table things (one integer);' }),
  })
  const holder = await database.pool.connect()
  await holder.query('begin; insert into things values (1)')
  const running = migrate(database.url, { folder }).catch((error: unknown) => error)
  await killWaiting(database)
  t.match(await running, { message: /Its finished statements stay/ })
  await holder.query('commit')
  holder.release()
  t.strictSame(await validity(database), [{ indisvalid: false }], 'the build that was killed')
  t.match(await migrate(database.url, { folder }), { version: 2, applied: ['0002.indexes.sql'] })
  t.strictSame(await validity(database), [{ indisvalid: true }])
})

const validity = (database: Database) =>
  database.query(`select indisvalid from pg_index where indexrelid = 'things_one'::regclass`)

t.test('an index is built while other replicas wait for it', async t => {
  const database = await emptyDatabase(t)
  const folder = await folderOf(t, {
    '0001.table.sql': 'create table things (one integer);',
    '0002.index.sql':
      '-- transaction: none\ncreate index concurrently things_one on things (one);\n',
  })
  const results = await Promise.all([1, 2, 3].map(() => migrate(database.url, { folder })))
  t.strictSame(
    results.map(({ applied }) => applied.length).toSorted((one, other) => one - other),
    [0, 0, 2],
  )
})

t.test(
  'a migration stands in line shortly and again, tells so, and lets the line pass',
  async t => {
    const database = await emptyDatabase(t)
    const table = { '0001.table.sql': 'create table things (one integer);' }
    await migrate(database.url, { folder: await folderOf(t, table) })
    const folder = await folderOf(t, {
      ...table,
      '0002.column.sql': 'alter table things add column two integer;',
    })
    const holder = await database.pool.connect()
    await holder.query('begin; select from things')
    const told: string[] = []
    const running = migrate(database.url, { folder, onProgress: sentence => told.push(sentence) })
    await poll(
      async () => told.some(sentence => /waits for a lock \(1 of/.test(sentence)) || undefined,
      {
        forMs: 20_000,
      },
    )
    await database.query('insert into things (one) values (1)')
    await holder.query('commit')
    holder.release()
    t.match(await running, { version: 2, applied: ['0002.column.sql'] })
  },
)

t.test('a server that never answers holds up no start', { timeout: 20_000 }, async t => {
  const sockets: Socket[] = []
  const silent = createServer(socket => sockets.push(socket)).listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    silent.close()
  })
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  await t.rejects(migrate(`postgres://user@127.0.0.1:${port}/name`), { message: 'timeout expired' })
})

t.test('the time-outs of the role are not those of a migration', async t => {
  const database = await emptyDatabase(t)
  const name = await nameOf(database)
  for (const setting of ['statement_timeout', 'idle_in_transaction_session_timeout']) {
    await database.query(`alter database "${name}" set ${setting} = '200ms'`)
  }
  // The time-out that must not come is one of Postgres, which is measured in real time only.
  const folder = await folderOf(t, {
    '0001.slow.sql': 'select pg_sleep(0.5);',
    '0002.slow.sql': '-- transaction: none\nselect pg_sleep(0.5);\n',
  })
  t.match(await migrate(database.url, { folder }), { version: 2 })
})

async function nameOf(database: Database): Promise<string> {
  const [row] = await database.query<{ name: string }>('select current_database() as name')
  return row?.name ?? ''
}
