import { Client } from 'pg'
import t from 'tap'
import { freshDatabase } from '../fixtures/database.ts'
import {
  type Call,
  rounds,
  states,
  tally,
  times,
  together,
  twoReplicas,
  until,
  work,
} from '../fixtures/gate.ts'
import { type Cut, proxyOf } from '../fixtures/proxy.ts'
import { service } from '../fixtures/service.ts'

const BATCHES = 32
const RUNS = times(100)
const barrier = { total: BATCHES, callback: { queue: 'done' } }

t.test('invariant 6: every tenth reply is lost and the call repeated: counters exact', async t => {
  const { database, replica } = await twoReplicas(t)
  await together(RUNS, run => replica(run).enqueue(`run-${run}`, barrier))
  let calls = 0
  let lost = 0
  const lossy: Call = async (...request) => {
    calls += 1
    const isLost = calls % 10 === 0
    const reply = await replica(calls).call(...request)
    if (!isLost) return reply
    lost += 1
    throw new Error('The reply was lost.')
  }
  const told = await rounds(RUNS, run => work(lossy, `run-${run}`, BATCHES), { abreast: 10 })

  t.ok(lost >= RUNS * 6, `${lost} replies of ${calls} were lost`)
  t.strictSame(await states(database), { 'completed 32 due, 32 recorded': RUNS })
  t.ok(told.every(({ decrements }) => decrements.length === BATCHES))
  const closers = told.map(
    ({ decrements }) => decrements.filter(({ closed_by_this }) => closed_by_this).length,
  )
  t.ok(closers.every(count => count <= 1))
  const outcomes = tally(told.flatMap(({ decrements }) => decrements.map(d => d.outcome)))
  t.equal((outcomes['recorded'] ?? 0) + (outcomes['duplicate'] ?? 0), RUNS * BATCHES)
  t.strictSame(
    await database.query(
      `select count(distinct callback_id)::integer as callbacks, count(callback_due_at)::integer as due
      from barriers`,
    ),
    [{ callbacks: RUNS, due: RUNS }],
  )
})

t.test('invariant 6: connections cut between service and Postgres are healed inside', async t => {
  // Each kind of cut has to come at least once.
  const runs = Math.max(2, times(5))
  const database = await freshDatabase(t)
  const kinds: Cut[] = ['before', 'during', 'after']
  const proxy = await proxyOf(t, database, nth =>
    nth % 10 === 0 ? kinds[(nth / 10) % 3] : undefined,
  )
  const one = await service(t, { database: proxy.database })
  let repeated = 0
  const call: Call = async (...request) => {
    const reply = await one.call(...request)
    if (reply.status >= 500) repeated += 1
    return reply
  }
  const created = await rounds(runs, run => one.enqueue(`run-${run}`, barrier))
  const told = await rounds(runs, run => work(call, `run-${run}`, BATCHES))

  t.ok(
    kinds.every(kind => proxy.cuts[kind] >= runs / 2),
    JSON.stringify(proxy.cuts),
  )
  t.ok(repeated < 10, `${repeated} calls had to be repeated outside`)
  t.strictSame(tally(created.map(({ status }) => String(status))), { '201': runs })
  t.strictSame(await states(database), { 'completed 32 due, 32 recorded': runs })
  // One delivery each: a repeat that forgot its nonce would be a duplicate, or a batch in progress for ever.
  const outcomes = tally(told.flatMap(({ decrements }) => decrements.map(d => d.outcome)))
  t.ok((outcomes['recorded'] ?? 0) >= runs * BATCHES - repeated, JSON.stringify(outcomes))
  t.strictSame(
    await database.query(
      `select count(*)::integer, max(attempt), count(distinct token)::integer as tokens from batches`,
    ),
    [{ count: runs * BATCHES, max: 1, tokens: runs * BATCHES }],
  )
})

t.test('invariant 6: replace, abort and claim are told the truth over cut connections', async t => {
  const database = await freshDatabase(t)
  const kinds: Cut[] = ['before', 'during', 'after']
  const proxy = await proxyOf(t, database, nth =>
    nth % 3 === 0 ? kinds[(nth / 3) % 3] : undefined,
  )
  const one = await service(t, { database: proxy.database })
  const told = await rounds(15, async run => {
    const execution = `run-${run}`
    return [
      await one.enqueue(execution, { total: 1 }),
      await one.enqueue(execution, { total: 2, conflict_policy: 'replace' }),
      await one.claim(execution, 0, { lease_seconds: 60 }),
      await one.decrement(execution, { batch_index: 0 }),
      await one.abort(execution),
    ]
  })
  const outcomes = told.map(replies =>
    replies.map(({ body }) => `${body.outcome} ${body.generation}`).join(', '),
  )
  t.strictSame(tally(outcomes), {
    'created 1, created 2, granted 2, recorded 2, aborted 2': 15,
  })
  t.strictSame(await states(database), { 'aborted 1 none, 1 recorded': 15 })
})

t.test('a clear whose connection broke says that nobody knows its effect', async t => {
  const database = await freshDatabase(t)
  let cut: Cut | undefined
  const proxy = await proxyOf(t, database, () => cut)
  const one = await service(t, { database: proxy.database })
  await one.claim('run', 0)
  cut = 'after'
  const { status, headers, body } = await one.clear('run')
  cut = undefined
  t.match(
    { status, headers, body },
    {
      status: 503,
      headers: { 'retry-after': '1' },
      body: { code: 'database_unavailable', effect: 'unknown' },
    },
  )
  t.match(await one.clear('run'), { status: 200, body: { cleared: 0 } })
})

t.test('invariant 6: three deliveries of each batch while backends are killed', async t => {
  const runs = times(8)
  const { database, replica } = await twoReplicas(t)
  await together(runs, run =>
    replica(run).enqueue(`run-${run}`, { total: BATCHES, callback: { queue: 'done' } }),
  )
  const killer = new Client({ connectionString: database.url })
  await killer.connect()
  t.teardown(() => killer.end())
  let answers = 0
  const over = new AbortController()
  let killed = 0
  const kill = async () => {
    while (!over.signal.aborted) {
      const { rowCount } = await killer.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'rollcall'
        order by state = 'active' desc, random()
        limit 1`,
      )
      killed += rowCount ?? 0
      // Some work is done between two kills, so that it comes to an end.
      const seen = answers
      await until(
        () => over.signal.aborted || answers > seen + 4,
        'the service answers beside the killing',
      )
    }
  }

  let calls = 0
  const call = (...request: Parameters<ReturnType<typeof replica>['call']>) =>
    replica((calls += 1)).call(...request)
  const storm = async () => {
    const told = await rounds(
      runs,
      run => work(call, `run-${run}`, BATCHES, { copies: 3, onAnswer: () => (answers += 1) }),
      { abreast: 2 },
    )
    over.abort()
    return told
  }
  const [, told] = await Promise.all([kill(), storm()])

  t.ok(killed >= runs * 2, `${killed} backends were killed`)
  t.strictSame(await states(database), { 'completed 32 due, 32 recorded': runs })
  const closers = told.map(
    ({ decrements }) => decrements.filter(({ closed_by_this }) => closed_by_this).length,
  )
  t.ok(closers.every(count => count <= 1))
  const outcomes = tally(told.flatMap(({ decrements }) => decrements.map(d => d.outcome)))
  t.strictSame(
    Object.keys(outcomes).filter(outcome => outcome !== 'recorded' && outcome !== 'duplicate'),
    [],
    JSON.stringify(outcomes),
  )
  const tokens = told.flatMap(run => run.tokens)
  t.equal(new Set(tokens).size, tokens.length, 'invariant 1: no token is given twice')
})
