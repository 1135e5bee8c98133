import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Pool } from 'pg'
import t from 'tap'
import { urlOf } from '../../src/database/embedded/address.ts'
import { openDataFolder } from '../../src/database/embedded/folder.ts'
import { until } from '../fixtures/gate.ts'
import { build, caller, openFolder, serve } from '../fixtures/process.ts'
import { removeServer } from '../fixtures/server.ts'

/** In every value that a caller chooses, but for the execution id, which the log tells. */
const CANARY = 'canary'

const root = await build(t)
const dataDir = join(await openFolder(t), 'data')
const served = await serve(t, root, {
  ROLLCALL_DATA_DIR: dataDir,
  ROLLCALL_STATEMENT_TIMEOUT_SECONDS: '2',
  ROLLCALL_LOCK_TIMEOUT_SECONDS: '1',
  ROLLCALL_REAPER_REST_SECONDS: '1',
  LOG_LEVEL: 'trace',
})
t.teardown(async () => {
  await served.kill()
  await removeServer(dataDir)
})
const folder = await openDataFolder(dataDir)
const database = new Pool({ connectionString: await urlOf(folder, 'rollcall') })
database.on('error', () => undefined)
t.teardown(() => database.end())
const call = caller(served.url)

const headers = { 'idempotency-key': CANARY, authorization: CANARY, 'x-request-id': CANARY }
const callback = {
  queue: `${CANARY}-queue`,
  task_name: CANARY,
  kwargs: { [CANARY]: CANARY },
  headers: { a: CANARY },
}
/** Where nobody listens. */
const url = `http://127.0.0.1:1/${CANARY}?key=${CANARY}`
const result = { [CANARY]: CANARY }
let count = 0

/** Every write that there is, on executions of their own; the statuses. */
async function everyWrite(): Promise<number[]> {
  count += 1
  const [old, fresh] = [`/executions/old-${count}`, `/executions/fresh-${count}`]
  const post = async (path: string, body: object) =>
    (await call('POST', `${path}?`, body, headers)).status
  return Promise.all([
    post(`${fresh}/barrier/enqueue`, { total: 2, metadata: { m: CANARY }, callback }),
    post(`${fresh}x/batches/0/claim`, { owner: CANARY, lease_seconds: 5 }),
    post(`${fresh}y/batches/claim`, { batch_indexes: [0, 1], owner: CANARY }),
    post(`${old}/barrier/decrement`, { batch_index: 0, token: CANARY, result }),
    post(`${old}/barrier/decrements`, {
      batches: [{ batch_index: 1, status: 'failed', error: result }],
    }),
    post(`${old}z/batches/0/finish`, { result, token: CANARY }),
    post(`${old}/barrier/abort`, { reason: CANARY }),
    post('/callbacks/claim', { queue: `${CANARY}-queue` }),
    post(`${old}/callback/ack`, { token: CANARY }),
    post(`${fresh}z/barrier/enqueue`, { total: 0, callback: { url } }),
    call('GET', `/executions?prefix=${CANARY}&cursor=${CANARY}`).then(({ status }) => status),
    call('GET', `/${CANARY}`, undefined, { ...headers, origin: `https://${CANARY}` }).then(
      ({ status }) => status,
    ),
  ])
}

/** What `everyWrite` finds there already. */
async function prepare(): Promise<void> {
  const old = `/executions/old-${count + 1}/barrier`
  await call('POST', `${old}/enqueue`, { total: 3, metadata: { m: CANARY }, callback }, headers)
}

const trigger = (raise: string) => `
  create function broken() returns trigger language plpgsql as $$ begin ${raise} end $$;
  create trigger broken before insert or update on barriers for each row execute function broken();
  create trigger broken before insert or update on batches for each row execute function broken()`
const untrigger = 'drop function broken cascade'

const { rows: checks } = await database.query<{ table: string; name: string; rule: string }>(`
  select conrelid::regclass::text as table, conname as name, pg_get_constraintdef(oid) as rule
  from pg_constraint where contype = 'c' and conrelid in ('barriers'::regclass, 'batches'::regclass)`)

/** What is broken on purpose, and how it is mended. */
const faults: Record<string, [breaks: string, mends: string]> = {
  ...Object.fromEntries(
    checks.map(({ table, name, rule }) => [
      name,
      [
        `alter table ${table} drop constraint ${name}, add constraint ${name} check (false) not valid`,
        `alter table ${table} drop constraint ${name}, add constraint ${name} ${rule}`,
      ],
    ]),
  ),
  'a unique index': [
    'truncate batches, barriers; create unique index broken on batches ((owner is null)); create unique index broken_too on barriers ((total > 0))',
    'drop index broken; drop index broken_too',
  ],
  'a trigger that tells all': [
    trigger(
      `raise exception 'all: %', new using detail = new, hint = new, errcode = 'restrict_violation';`,
    ),
    untrigger,
  ],
  'a value that cannot be read': [trigger(`perform new::text::integer; return new;`), untrigger],
  'a division by zero': [trigger('perform 1 / 0; return new;'), untrigger],
  'a warning': [trigger(`raise warning '%', new; return new;`), untrigger],
  'a notice in the log': [trigger(`raise notice '%', new; return new;`), untrigger],
  // Nobody waits for it: the time-out of the statement ends it.
  'a statement that takes too long': [trigger('perform pg_sleep(60); return new;'), untrigger],
  'a table that is gone': [
    'alter table batches rename to gone',
    'alter table gone rename to batches',
  ],
  'a right that is gone': [
    `create function broken() returns trigger language plpgsql as $$ begin raise insufficient_privilege using message = new; end $$;
     create trigger broken before insert on batches for each row execute function broken()`,
    untrigger,
  ],
}

for (const [name, [breaks, mends]] of Object.entries(faults)) {
  t.test(`nothing of a caller is logged: ${name}`, async t => {
    await prepare()
    await database.query(breaks)
    const statuses = await everyWrite()
    await database.query(mends)
    t.ok(statuses.some(status => status >= 400))
    t.equal(await quoted(), undefined)
  })
}

t.test('a value that Postgres cannot read is the fault of its caller', async t => {
  const [breaks, mends] = faults['a value that cannot be read'] ?? ['', '']
  await database.query(breaks)
  const reply = await call('POST', '/executions/odd/batches/0/claim', { owner: CANARY })
  await database.query(mends)
  t.match(reply, { status: 400, body: { code: 'invalid_request', errors: [{ path: '' }] } })
})

const waiting = `pg_stat_activity where application_name = 'rollcall' and wait_event_type = 'Lock'`

const deadlocks = async () => {
  const { rows } = await database.query<{ deadlocks: number }>(
    'select deadlocks::integer from pg_stat_database where datname = current_database()',
  )
  return rows[0]?.deadlocks ?? 0
}

t.test('nothing of a caller is logged: a deadlock', async t => {
  const before = await deadlocks()
  // The service looks for a deadlock before its lock_timeout, the other side never does, so the service is the victim.
  await database.query(`alter system set deadlock_timeout = '800ms'`)
  await database.query('select pg_reload_conf()')
  const other = await database.connect()
  await other.query(`set deadlock_timeout = '1min'`)
  for (let nth = 0; nth < 3; nth += 1) {
    const run = `/executions/deadlock-${nth}`
    await call('POST', `${run}/barrier/enqueue`, { total: 2, metadata: result, callback })
    await call('POST', `${run}/batches/claim`, { batch_indexes: [0, 1], owner: CANARY })
    const lock = `select from batches where execution_id = 'deadlock-${nth}' and batch_index = $1 for update`
    await other.query('begin')
    await other.query(lock, [1])
    const batches = [0, 1].map(batch_index => ({ batch_index, result }))
    const decrements = call('POST', `${run}/barrier/decrements`, { batches })
    await until(
      async () => (await database.query(`select from ${waiting}`)).rowCount === 1,
      'the service has batch 0 and waits for batch 1',
    )
    await other.query(lock, [0])
    await other.query('rollback')
    t.ok([200, 503].includes((await decrements).status))
  }
  other.release()
  await database.query('alter system reset deadlock_timeout')
  await database.query('select pg_reload_conf()')
  await until(async () => (await deadlocks()) > before, 'there was one')
  t.equal(await quoted(), undefined)
})

t.test('nothing of a caller is logged: connections that are lost', async t => {
  await prepare()
  const holder = await database.connect()
  await holder.query('begin')
  await holder.query('select from barriers for update')
  const writes = everyWrite()
  const kill = () => database.query(`select pg_terminate_backend(pid) from ${waiting}`)
  await until(async () => ((await kill()).rowCount ?? 0) > 0, 'a write waits and is killed')
  await writes
  await holder.query('rollback')
  holder.release()
  t.equal(await quoted(), undefined)
})

t.test('nothing of a caller is logged: a URL that is called in vain', async t => {
  await call('POST', '/executions/url/barrier/enqueue', { total: 0, callback: { url } })
  await until(
    async () => (await call('GET', '/executions/url/callback')).body.attempts.length > 0,
    'it was called',
  )
  t.match((await call('GET', '/executions/url/callback')).body, {
    callback: { url },
    attempts: [{ outcome: 'failed' }],
  })
  t.equal(await quoted(), undefined)
})

t.test('nothing of a caller is logged when Postgres is killed', async t => {
  await prepare()
  const writes = everyWrite().catch(() => undefined)
  const { rows } = await database.query<{ pid: number }>('select pg_backend_pid() as pid')
  process.kill(rows[0]?.pid ?? 0, 'SIGKILL')
  await writes
  await until(async () => (await call('GET', '/readyz')).status === 200, 'it is back')
  t.equal(await quoted(), undefined)
  t.match(await postgresLog(), /terminated by signal 9/)
})

/** The first line of either log that holds the canary. */
async function quoted(): Promise<string | undefined> {
  const lines = `${served.output()}\n${await postgresLog()}`.split('\n')
  return lines.find(line => line.includes(CANARY))
}

function postgresLog(): Promise<string> {
  return readFile(folder.log, 'utf8')
}
