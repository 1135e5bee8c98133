import { Client } from 'pg'
import t from 'tap'
import { migrate, newestVersion } from '../../src/database/migrate.ts'
import { type Database, clonedDatabase } from '../fixtures/database.ts'

/** A database without a schema. */
async function emptyDatabase(t: Parameters<typeof clonedDatabase>[0]): Promise<Database> {
  const database = await clonedDatabase(t)
  await database.query('drop schema public cascade')
  await database.query('create schema public')
  return database
}

const objectsOf = (database: Database) =>
  database.query(
    `select relname, relkind from pg_class where relnamespace = 'public'::regnamespace order by relname`,
  )

t.test('three replicas that migrate at once make one schema', async t => {
  const database = await emptyDatabase(t)
  const newest = await newestVersion()
  const results = await Promise.all([1, 2, 3].map(() => migrate(database.url)))
  t.strictSame(
    results.map(({ version }) => version),
    [newest, newest, newest],
  )
  t.equal(results.filter(({ applied }) => applied.length > 0).length, 1, 'one did the work')
  const versions = await database.query<{ version: number }>(
    'select version::integer from schemaversion where version > 0',
  )
  t.equal(versions.length, newest, 'each file once')
  const template = await clonedDatabase(t)
  t.strictSame(await objectsOf(database), await objectsOf(template))
})

t.test('a second run has nothing to do and changes nothing', async t => {
  const database = await clonedDatabase(t)
  const before = await database.query('select * from schemaversion')
  t.strictSame(await migrate(database.url), { version: await newestVersion(), applied: [] })
  t.strictSame(await database.query('select * from schemaversion'), before)
})

t.test('data stays through a second run', async t => {
  const database = await clonedDatabase(t)
  await database.query(
    `insert into barriers (execution_id, total, fingerprint, enqueue_nonce, expires_at)
     values ('kept', 1, 'f', 'n', now())`,
  )
  await migrate(database.url)
  t.equal((await database.query('select from barriers')).length, 1)
})

t.test('a database that is ahead is left alone', async t => {
  const database = await clonedDatabase(t)
  await database.query('insert into schemaversion (version) values (9999)')
  const before = [await objectsOf(database), await database.query('select * from schemaversion')]
  t.strictSame(await migrate(database.url), { version: 9999, applied: [] })
  t.strictSame(
    [await objectsOf(database), await database.query('select * from schemaversion')],
    before,
  )
})

t.test('a migration that is killed leaves nothing half done', async t => {
  const database = await emptyDatabase(t)
  // The table of versions exists and is locked, so that the run stops in its middle.
  const holder = new Client({ connectionString: database.url })
  await holder.connect()
  t.teardown(() => holder.end())
  await holder.query('begin')
  await holder.query('create table barriers ()')
  const running = migrate(database.url).catch((error: unknown) => error)
  const kill = () =>
    database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock'`,
    )
  while ((await kill()).length === 0);
  t.ok((await running) instanceof Error)
  await holder.query('rollback')
  t.strictSame(
    (await objectsOf(database)).filter(({ relname }) => relname !== 'schemaversion'),
    [],
    'nothing of it is there',
  )
  t.match(await migrate(database.url), { version: await newestVersion() })
})
