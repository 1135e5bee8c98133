import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { migrate } from '../../src/database/migrate.ts'
import { readMigrations } from '../../src/database/migrate/files.ts'
import { wrongForWrites, wrongWithServer } from '../../src/database/server.ts'
import { clonedDatabase, type Database, emptyDatabase } from '../fixtures/database.ts'

const migrations = await readMigrations()
const newest = migrations.at(-1)?.version

const OLD_RECORD = `
  create table schemaversion (version bigint primary key, name text, md5 text, run_at timestamptz);
  insert into schemaversion values
    (0, null, null, null),
    (1, 'claims-and-barriers', '96305f3d1bc0c8a8a286c18407cfb026', now()),
    (2, 'callbacks-and-reaper', 'f9c62b4723181b329ad4b21cef431408', now()),
    (3, 'lighter-writes', '0c5304cf24d038f1576522d6973041d6', now())`

/** The schema as services left it that knew migrations 1 to 3 and no record of their own. */
async function oldDatabase(t: Test): Promise<Database> {
  const database = await emptyDatabase(t)
  for (const { text } of migrations.slice(0, 3)) await database.query(text)
  await database.query(OLD_RECORD)
  return database
}

const recordIn = (database: Database, schema = 'public') =>
  database.query<{ version: number }>(
    `select version from ${schema}.rollcall_migrations order by version`,
  )
const versionsOf = async (database: Database) =>
  database.query('select * from schemaversion order by version')

t.test(
  'the schema of a service from before the record is taken over, and its own record left',
  async t => {
    const database = await oldDatabase(t)
    const before = await versionsOf(database)
    t.match(await migrate(database.url), {
      version: newest,
      applied: migrations.slice(3).map(({ file }) => file),
    })
    t.strictSame(await versionsOf(database), before)
    t.equal((await recordIn(database)).length, migrations.length)
  },
)

t.test('a schemaversion of another program is neither believed nor touched', async t => {
  const foreign = {
    'at 3 without checksums':
      'create table schemaversion as select generate_series(1, 3) as version',
    'at 120': 'create table schemaversion as select generate_series(1, 120) as version',
    'with other checksums': `create table schemaversion as
      select version, md5(version::text) as md5 from generate_series(1, 3) as version`,
    'with other columns': `create table schemaversion as select 'x' as migration`,
  }
  for (const [which, sql] of Object.entries(foreign)) {
    const database = await emptyDatabase(t)
    await database.query(sql)
    const before = await database.query('select * from schemaversion')
    t.match(await migrate(database.url), { version: newest }, which)
    t.strictSame(await database.query('select * from schemaversion'), before, which)
  }
})

t.test('a table of ours without a record that is ours is not taken over', async t => {
  const database = await oldDatabase(t)
  await database.query('update schemaversion set md5 = null')
  await t.rejects(migrate(database.url), {
    name: 'StartFailure',
    message: /no record that Rollcall made it/,
  })
})

t.test('tables of another program with our names stop the start, and nothing is made', async t => {
  for (const table of ['batches', 'barriers']) {
    const database = await emptyDatabase(t)
    await database.query(`create table ${table} (id integer)`)
    await t.rejects(migrate(database.url), {
      name: 'StartFailure',
      message: new RegExp(
        `^The schema public already has a table ${table}, and no record that Rollcall made it; give Rollcall a database of its own, or a schema`,
      ),
    })
    t.strictSame(await database.query(`select from pg_class where relname like 'rollcall%'`), [])
  }
})

/** The URL of a database, with a parameter more. */
function withOptions({ url }: Database, options: string): string {
  return `${url}&options=${encodeURIComponent(options)}`
}

t.test('a schema of its own keeps Rollcall apart from tables with its names', async t => {
  const database = await emptyDatabase(t)
  await database.query('create table batches (id integer); create schema "Our own"')
  const url = withOptions(database, '-c search_path="Our\\ own"')
  t.match(await migrate(url), { version: newest })
  t.match(await migrate(url), { applied: [] })
  t.equal((await recordIn(database, '"Our own"')).length, migrations.length)
  t.strictSame(await database.query('select * from batches'), [])
})

t.test(
  'of several schemas in search_path, the one with the record is that of Rollcall',
  async t => {
    const database = await clonedDatabase(t)
    await database.query('create schema app')
    t.match(await migrate(withOptions(database, '-c search_path=app,public')), { applied: [] })
    t.strictSame(
      await database.query(`select from pg_class where relnamespace = 'app'::regnamespace`),
      [],
    )
  },
)

t.test('a search_path that leads nowhere ends the start with a sentence', async t => {
  const database = await emptyDatabase(t)
  await t.rejects(migrate(withOptions(database, '-c search_path=nowhere')), {
    name: 'StartFailure',
    message: /^search_path names no schema that exists/,
  })
})

t.test('a role that may not create is told what to grant', async t => {
  const database = await emptyDatabase(t)
  const role = `role_${randomUUID().replaceAll('-', '')}`
  await database.query(`create role ${role}; grant usage on schema public to ${role}`)
  t.teardown(() => database.query(`drop owned by ${role}; drop role ${role}`))
  await t.rejects(migrate(withOptions(database, `-c role=${role}`)), {
    name: 'StartFailure',
    message: `The role ${role} may not create tables in the schema public: grant create on schema public to ${role}, or run rollcall migrate with a role that may.`,
  })
})

t.test('a database in another encoding ends the start with a sentence', async t => {
  const beside = await clonedDatabase(t)
  for (const encoding of ['SQL_ASCII', 'LATIN1']) {
    const name = `encoded_${randomUUID()}`
    await beside.query(
      `create database "${name}" encoding '${encoding}' locale 'C' template template0`,
    )
    t.teardown(() => beside.query(`drop database "${name}" with (force)`))
    const url = beside.url.replace(/test_[\w-]+/, name)
    await t.rejects(migrate(url), {
      name: 'StartFailure',
      message: new RegExp(`^The database has the encoding ${encoding}, and Rollcall needs UTF8;`),
    })
  }
})

t.test('an older server, a standby, and triggers that are off are told', async t => {
  const server = {
    server_version_num: 150_000,
    encoding: 'UTF8',
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    is_bounded: true,
    read_only: false,
    triggers_fire: true,
  }
  t.equal(wrongWithServer(server), undefined)
  t.match(
    wrongWithServer({ ...server, server_version_num: 140_012 }),
    /is Postgres 14, .* needs 15/,
  )
  t.equal(wrongForWrites(server), undefined)
  t.match(wrongForWrites({ ...server, read_only: true }), /takes no writes/)
  t.match(wrongForWrites({ ...server, triggers_fire: false }), /session_replication_role/)
})
