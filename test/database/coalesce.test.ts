import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { Pool, type QueryResultRow } from 'pg'
import t, { type Test } from 'tap'
import { coalesce } from '../../src/database/coalesce.ts'
import { Slots } from '../../src/database/slots.ts'
import { ask as askAlone } from '../../src/database/statement.ts'
import { clonedDatabase, type Database } from '../fixtures/database.ts'

interface Row {
  outcome: string
  word: string
  number: number
  waited: boolean
}

/** Answers each ask and writes down how many shared the run; a number that is none breaks its cast. */
const plain = {
  name: 'coalesce_plain',
  text: `
    with ask as materialized (
      select *
      from rows from (json_to_recordset($1) as (word text, number text)) with ordinality as ask (word, number, ord)
    ),
    logged as (
      insert into runs (asks) select count(*) from ask
    )
    select 'done' as outcome, word, number::integer as number from ask order by ord`,
}

/** As `plain`, but a busy word answers `again` unless the run waits, and then waits for lock 7. */
const waiting = {
  name: 'coalesce_waiting',
  text: `
    with ask as materialized (
      select *
      from rows from (json_to_recordset($1) as (word text, number text)) with ordinality as ask (word, number, ord)
    ),
    logged as (
      insert into runs (asks, waits) select count(*), $2 from ask
    ),
    waited as materialized (
      select case when $2 then pg_advisory_xact_lock_shared(7)::text end
    )
    select case when word like 'busy%' and not $2 then 'again' else 'done' end as outcome, word,
      number::integer as number, $2::boolean as waited
    from ask, waited
    order by ord`,
}

/** As `plain`, but each run waits for the lock that its smallest number names. */
const stepwise = {
  name: 'coalesce_stepwise',
  text: plain.text.replace(
    'from ask order by',
    'from ask, (select pg_advisory_xact_lock_shared(min(number::integer))::text from ask) as waited order by',
  ),
}

async function waitersIn(database: Database): Promise<number> {
  const rows = await database.query(
    `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  )
  return rows.length
}

/** A database with a log of runs, and a service's pool on it. */
async function stage(t: Test, size = 10) {
  const database = await clonedDatabase(t)
  await database.query(
    'create table runs (run bigint generated always as identity, asks integer, waits boolean)',
  )
  const pool = new Pool({ connectionString: database.url, max: size })
  // The database goes while connections to it are open.
  pool.on('error', () => undefined)
  pool.on('connect', client => client.on('error', () => undefined))
  t.teardown(() => pool.end())
  const holder = await database.pool.connect()
  t.teardown(() => holder.release(true))
  return {
    service: {
      pool,
      prepared: true,
      waitMs: 20_000,
      waiting: new Slots(Math.max(1, Math.floor(pool.options.max / 2)), 20_000),
    },
    query: <R extends QueryResultRow>(sql: string) => database.query<R>(sql),
    /** Holds every run until `let go` is called. */
    hold: async (lock: string) => {
      await holder.query('begin')
      await holder.query(lock)
      return () => holder.query('commit')
    },
    /** Lets go of one advisory lock that a session holds. */
    letGoOf: (lock: number) => holder.query('select pg_advisory_unlock($1)', [lock]),
    /** Until this many runs wait for a lock. */
    blocked: async (count: number) => {
      while ((await waitersIn(database)) < count) await setImmediate()
    },
    runs: async () => {
      const rows = await database.query<{ asks: number }>('select asks from runs order by run')
      return rows.map(({ asks }) => asks)
    },
  }
}

const HOLD_RUNS = 'lock table runs in share mode'
const HOLD_LOCK = 'select pg_advisory_xact_lock(7)'
const words = (...all: string[]) => all.map(word => ({ word, number: 1 }))

const many = (count: number) => Array.from({ length: count }, () => ({ word: 'a', number: 1 }))

t.test('a call that finds nothing in flight goes at once, alone', async t => {
  const { service, runs } = await stage(t)
  const run = coalesce<Row>(service, plain)
  t.strictSame(await run([{ word: 'a', number: 1 }]), [{ outcome: 'done', word: 'a', number: 1 }])
  t.strictSame(await run([{ word: 'b', number: 2 }]), [{ outcome: 'done', word: 'b', number: 2 }])
  t.strictSame(await runs(), [1, 1])
})

t.test('calls that arrive during a run share the next, and each gets its own answers', async t => {
  const { service, runs, hold, blocked } = await stage(t)
  const run = coalesce<Row>(service, plain)
  const letGo = await hold(HOLD_RUNS)
  const first = run(words('first'))
  await blocked(1)
  const others = ['a', 'b', 'c', 'd'].map(word => run([{ word, number: 7 }]))
  const pair = run(words('x', 'y'))
  await letGo()
  t.match(await first, [{ word: 'first' }])
  t.strictSame(
    (await Promise.all(others)).map(([row]) => row?.word),
    ['a', 'b', 'c', 'd'],
  )
  t.match(await pair, [{ word: 'x' }, { word: 'y' }])
  t.strictSame(await runs(), [1, 6])
})

t.test('a run is cut at 1,000 asks, between calls', async t => {
  const { service, runs, hold, blocked } = await stage(t)
  const run = coalesce<Row>(service, plain)
  const letGo = await hold(HOLD_RUNS)
  const calls: Promise<readonly Row[]>[] = [run(many(1))]
  await blocked(1)
  calls.push(...[400, 600, 1, 999, 1, 1500, 2].map(count => run(many(count))))
  await letGo()
  t.strictSame(
    (await Promise.all(calls)).map(rows => rows.length),
    [1, 400, 600, 1, 999, 1, 1500, 2],
  )
  t.strictSame(await runs(), [1, 1000, 1000, 1, 1500, 2])
})

t.test('a run is cut at 4 MiB', async t => {
  const { service, runs, hold, blocked } = await stage(t)
  const run = coalesce<Row>(service, plain)
  const large = () => run([{ word: 'x'.repeat(1_500_000), number: 1 }])
  const letGo = await hold(HOLD_RUNS)
  const calls: Promise<readonly Row[]>[] = [run(words('first'))]
  await blocked(1)
  calls.push(large(), large(), large(), run([{ word: 'y'.repeat(5_000_000), number: 1 }]), large())
  await letGo()
  await Promise.all(calls)
  t.strictSame(await runs(), [1, 2, 1, 1, 1])
})

t.test('the cut counts bytes, not characters', async t => {
  const { service, runs, hold, blocked } = await stage(t)
  const run = coalesce<Row>(service, plain)
  const large = () => run([{ word: '€'.repeat(700_000), number: 1 }])
  const letGo = await hold(HOLD_RUNS)
  const calls: Promise<readonly Row[]>[] = [run(words('first'))]
  await blocked(1)
  calls.push(large(), large(), large())
  await letGo()
  await Promise.all(calls)
  t.strictSame(await runs(), [1, 1, 1, 1], 'two have 4.2 MB')
})

t.test('a bad ask fails alone, with its call', async t => {
  const { service, runs, hold, blocked } = await stage(t)
  const run = coalesce<Row>(service, plain)
  const letGo = await hold(HOLD_RUNS)
  const first = run(words('first'))
  await blocked(1)
  const good = run([{ word: 'good', number: 1 }])
  const bad = run([{ word: 'bad', number: 'x' }])
  const half = run([
    { word: 'half', number: 1 },
    { word: 'bad', number: 2 ** 40 },
  ])
  const late = run([{ word: 'late', number: 3 }])
  const settled = Promise.allSettled([first, good, bad, half, late])
  await letGo()
  t.match(await settled, [
    { value: [{ word: 'first' }] },
    { value: [{ word: 'good' }] },
    { reason: { code: 'invalid_request', problem: { errors: [{ path: '' }] } } },
    { reason: { code: 'invalid_request' } },
    { value: [{ word: 'late', number: 3 }] },
  ])
  t.strictSame(await runs(), [1, 1, 1])
  t.match(await run(words('after')), [{ word: 'after' }], 'and the next is served')
})

t.test('a run that lost its connection is repeated', async t => {
  const { service, runs, hold, blocked, query } = await stage(t)
  service.pool.on('error', () => undefined)
  const run = coalesce<Row>(service, plain)
  const letGo = await hold(HOLD_RUNS)
  const call = run(words('a', 'b'))
  await blocked(1)
  await query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock'`,
  )
  await letGo()
  t.match(await call, [{ word: 'a' }, { word: 'b' }])
  t.strictSame(await runs(), [2])
})

t.test('a call that is answered again waits in a lane of its key, and stalls nobody', async t => {
  const { service, hold, blocked } = await stage(t)
  const run = coalesce<Row>(service, waiting, ask => (ask as Row).word)
  const letGo = await hold(HOLD_LOCK)
  let isAnswered = false
  const busy = run(words('busy')).finally(() => (isAnswered = true))
  const stranger = run(words('stranger'))
  t.match(await stranger, [{ outcome: 'done', waited: false }])
  await blocked(1)
  t.match(await run(words('another')), [{ outcome: 'done', waited: false }])
  t.equal(isAnswered, false)
  await letGo()
  t.match(await busy, [{ outcome: 'done', word: 'busy', waited: true }])
})

t.test('calls for a key that waits join its lane and share its next run', async t => {
  const { service, hold, blocked, query } = await stage(t)
  const run = coalesce<Row>(service, waiting, ask => (ask as Row).word)
  const letGo = await hold(HOLD_LOCK)
  const first = run(words('busy'))
  await blocked(1)
  const others = Array.from({ length: 5 }, () => run(words('busy')))
  await letGo()
  t.match(await Promise.all([first, ...others]), [[{ waited: true }], [{ waited: true }]])
  t.strictSame(await query('select asks, waits from runs order by run'), [
    { asks: 1, waits: false },
    { asks: 1, waits: true },
    { asks: 5, waits: true },
  ])
  // The lane is gone, so the next call is a common one again.
  await run(words('busy'))
  t.match((await query('select waits from runs order by run')).slice(3), [
    { waits: false },
    { waits: true },
  ])
})

t.test('a call of several asks goes again as a whole', async t => {
  const { service, query } = await stage(t)
  const run = coalesce<Row>(service, waiting, () => 'key')
  t.match(await run(words('free', 'busy')), [
    { outcome: 'done', word: 'free', waited: true },
    { outcome: 'done', word: 'busy', waited: true },
  ])
  t.strictSame(await query('select asks, waits from runs order by run'), [
    { asks: 2, waits: false },
    { asks: 2, waits: true },
  ])
})

t.test('at most half of the pool waits in lanes', async t => {
  const { service, hold, blocked } = await stage(t, 4)
  const run = coalesce<Row>(service, waiting, ask => (ask as Row).word)
  const letGo = await hold(HOLD_LOCK)
  const busy = Array.from({ length: 8 }, (_, index) => run(words(`busy-${index}`)))
  await blocked(2)
  t.match(await run(words('stranger')), [{ outcome: 'done', waited: false }])
  t.equal(service.pool.totalCount - service.pool.idleCount, 2)
  await letGo()
  t.equal((await Promise.all(busy)).length, 8)
})

t.test('a lane that is full turns callers away', async t => {
  const { service, hold, blocked } = await stage(t)
  const run = coalesce<Row>(service, plain)
  const letGo = await hold(HOLD_RUNS)
  const first = run(words('first'))
  await blocked(1)
  const fill = Array.from({ length: 20_000 }, () => run(words('a')))
  const refused: unknown = await run(words('late')).catch((caught: unknown) => caught)
  t.match(refused, { code: 'overloaded', headers: { 'retry-after': '1' } })
  await letGo()
  await first
  t.equal((await Promise.all(fill)).length, 20_000)
})

t.test('behind a run that hangs nobody waits, and who is refused was not run', async t => {
  const { service, runs, hold, blocked } = await stage(t)
  const run = coalesce<Row>({ ...service, waitMs: 100 }, plain)
  const letGo = await hold(HOLD_RUNS)
  const first = run(words('first'))
  await blocked(1)
  const refused = await Promise.allSettled(Array.from({ length: 64 }, () => run(words('late'))))
  const [later] = await Promise.allSettled([run(words('later'))])
  for (const { status, reason } of [...refused, later] as PromiseRejectedResult[]) {
    t.equal(status, 'rejected')
    t.match(reason, {
      code: 'overloaded',
      headers: { 'retry-after': '1' },
      problem: { effect: 'none' },
    })
  }
  await letGo()
  t.match(await first, [{ word: 'first' }])
  await setImmediate()
  t.match(await run(words('next')), [{ word: 'next' }], 'it has ended')
  t.strictSame(await runs(), [1, 1])
})

t.test('behind runs that end everybody waits, however long the line', async t => {
  const { service, runs, hold, blocked, letGoOf } = await stage(t)
  // Moved by hand, so that a slow machine makes no run long.
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const run = coalesce<Row>({ ...service, waitMs: 50 }, stepwise)
  await hold('select pg_advisory_lock(number) from generate_series(0, 9) as number')
  // More than half of a run's asks each, so that no two share one.
  const calls = Array.from({ length: 10 }, (_, number) =>
    run(Array.from({ length: 600 }, () => ({ word: 'a', number }))),
  )
  for (const [nth, call] of calls.entries()) {
    await blocked(1)
    // Long, and not yet for ever; the last one has waited for 360 by then.
    mock.timers.tick(40)
    await letGoOf(nth)
    t.equal((await call).length, 600)
  }
  t.strictSame(await runs(), Array(10).fill(600))
})

t.test('nor does who waits for a slot beside locked barriers', async t => {
  const { service, runs, hold, blocked } = await stage(t, 2)
  const run = coalesce<Row>({ ...service, waitMs: 100 }, waiting, ask => (ask as Row).word)
  const letGo = await hold(HOLD_LOCK)
  const first = run(words('busy-1'))
  await blocked(1)
  await t.rejects(run(words('busy-2')), { code: 'overloaded' })
  t.match(await run(words('stranger')), [{ outcome: 'done', waited: false }])
  await letGo()
  t.match(await first, [{ word: 'busy-1', waited: true }])
  t.strictSame(await runs(), [1, 1, 1, 1], 'what was refused was looked at and never run')
})

t.test('who has to run again after a run that hung is refused, not forgotten', async t => {
  const { service, hold, blocked } = await stage(t)
  const twice = {
    name: 'coalesce_twice',
    text: waiting.text.replace('not $2 then', '(not $2 or (select count(*) from runs) < 2) then'),
  }
  const run = coalesce<Row>({ ...service, waitMs: 100 }, twice, ask => (ask as Row).word)
  const letGo = await hold(HOLD_LOCK)
  const first = run(words('busy'))
  await blocked(1)
  await t.rejects(run(words('busy')), { code: 'overloaded' }, 'its lane hangs')
  await letGo()
  await t.rejects(first, { code: 'overloaded', problem: { effect: 'none' } })
  t.match(await run(words('busy')), [{ outcome: 'done', waited: true }], 'and may come again')
})

/** The first copy loses its connection, and no reply tells whether it was committed. */
const lossy = ({ name, text }: { name: string; text: string }) => ({
  name: `${name}_lossy`,
  text: text.replace(
    /from ask(?=, waited| order)/,
    `from (select case when nextval('tries') = 1 then pg_terminate_backend(pg_backend_pid(), 5000) end offset 0) as died,
      ask`,
  ),
})

/** Who waits fails. */
const failing = {
  name: 'coalesce_failing',
  text: waiting.text.replace('number::integer', `(case when $2 then 'x' else number end)::integer`),
}
const inDoubt = { code: 'internal_error', problem: { effect: 'unknown' } }
const sure = { code: 'invalid_request' }

t.test('who goes again after a lost reply is not told that there was no effect', async t => {
  const { service, query } = await stage(t)
  await query('create sequence tries')
  const run = coalesce<Row>(service, lossy(failing), ask => (ask as Row).word)
  await t.rejects(run(words('busy')), inDoubt)
  await t.rejects(run(words('busy')), sure, 'this one lost nothing')
})

t.test('nor who goes alone after a lost reply', async t => {
  const { service, query, hold, blocked } = await stage(t)
  await query('create sequence tries start 0 minvalue 0')
  const run = coalesce<Row>(service, lossy(plain))
  const letGo = await hold(HOLD_RUNS)
  const first = run(words('first'))
  await blocked(1)
  const bad = t.rejects(run([{ word: 'bad', number: 'x' }]), inDoubt)
  const good = run(words('good'))
  await letGo()
  t.match(await Promise.all([first, good]), [[{ word: 'first' }], [{ word: 'good' }]])
  await bad
})

t.test('nor who goes again for a part of the call', async t => {
  const { service } = await stage(t)
  const run = coalesce<Row>(service, failing, () => 'key')
  await t.rejects(run(words('free', 'busy')), inDoubt)
  await t.rejects(run(words('busy', 'busy')), sure, 'none was written')
})

/** Two servers answer each ask whose word is `double`, and none one whose word is `lost`. */
const miscounting = {
  name: 'coalesce_miscounting',
  text: plain.text.replace(
    'from ask order by',
    `from ask cross join generate_series(1, case word when 'double' then 2 when 'lost' then 0 else 1 end) order by`,
  ),
}

t.test(
  'a run with more or fewer rows than asks is a failure of all in it, never a guess',
  async t => {
    const { service, runs, hold, blocked } = await stage(t)
    const run = coalesce<Row>(service, miscounting)
    const letGo = await hold(HOLD_RUNS)
    const first = run(words('first'))
    await blocked(1)
    const shared = Promise.allSettled([run(words('a')), run(words('b', 'double'))])
    await letGo()
    t.match(await first, [{ word: 'first' }])
    const cause = { message: /^The statement coalesce_miscounting returned 4 rows for 3 asks\.$/ }
    const refused = { status: 'rejected', reason: { ...inDoubt, cause } }
    t.match(await shared, [refused, refused])
    await t.rejects(run(words('a', 'lost')), {
      ...inDoubt,
      cause: { message: /returned 1 rows for 2 asks/ },
    })
    await t.rejects(run(words('lost')), inDoubt)
    t.match(await run(words('after')), [{ word: 'after' }], 'and the next is served')
    t.strictSame(await runs(), [1, 3, 2, 1, 1], 'nothing was sent again')
  },
)

t.test('so is one of a single request', async t => {
  const { service } = await stage(t)
  const cause = { message: /returned 2 rows for 1 asks/ }
  await t.rejects(askAlone(service, miscounting, words('double')), { ...inDoubt, cause })
  await t.rejects(askAlone(service, miscounting, words('lost')), inDoubt)
  await t.rejects(askAlone(service, miscounting, words('a', 'lost')), inDoubt)
  t.match(await askAlone(service, miscounting, words('one')), [{ word: 'one' }])
})

t.test('without prepared statements it is the same', async t => {
  const { service } = await stage(t)
  const run = coalesce<Row>({ ...service, prepared: false }, plain)
  t.strictSame(await run(words('a')), [{ outcome: 'done', word: 'a', number: 1 }])
})
