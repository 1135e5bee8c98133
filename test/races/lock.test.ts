import { Client } from 'pg'
import t from 'tap'
import { type Database, freshDatabase } from '../fixtures/database.ts'
import {
  ask,
  barrierOf,
  callers,
  claimOf,
  deadlocks,
  decrementOf,
  endLeases,
  lockOf,
  mutant,
  rounds,
  shuffled,
  statements,
  tally,
  times,
  together,
  twoReplicas,
  until,
} from '../fixtures/gate.ts'
import { type Reply, service } from '../fixtures/service.ts'

const INDEXES = Array.from({ length: 60 }, (_, index) => index)

t.test('runs over the same batches in opposite orders do not deadlock', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 8)
  // A deadlock would be an error here: nobody repeats for these callers.
  await rounds(times(15), async round => {
    const execution = `run-${round}`
    await caller(0).ask(statements.enqueue, barrierOf(execution, INDEXES.length))
    const first = await caller(0).askAll(
      statements.claim,
      INDEXES.map(index => claimOf(execution, index)),
    )
    await endLeases(database)
    const old = first.map(({ reply }) => reply?.token)
    const shown = () =>
      shuffled(INDEXES).map(index => ask(execution, { batch_index: index, token: old[index] }))
    const claims = () => shuffled(INDEXES).map(index => claimOf(execution, index))
    await Promise.all([
      caller(0).askAll(statements.claim, claims()),
      caller(1).askAll(statements.heartbeat, shown()),
      caller(2).askAll(statements.claim, claims()),
      caller(3).askAll(statements.release, shown().slice(0, 20)),
      caller(4).askAll(
        statements.decrement,
        shuffled(INDEXES).map(index => decrementOf(execution, index)),
        true,
      ),
      caller(5).askAll(
        statements.decrement,
        shuffled(INDEXES).map(index => decrementOf(execution, index)),
        true,
      ),
      caller(6).askAll(statements.claim, claims()),
      caller(7).ask(statements.abort, ask(execution, { reason: 'Enough.' })),
    ])
  })
  t.strictSame(
    await database.query(
      `select count(*)::integer from barriers
      where succeeded <> (select count(*) from batches
        where execution_id = barriers.execution_id and state = 'succeeded')`,
    ),
    [{ count: 0 }],
  )
})

t.test('runs over many barriers in opposite orders do not deadlock', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 6)
  const told = await rounds(times(15), async round => {
    const executions = INDEXES.slice(0, 6).map(nth => `run-${round}-${nth}`)
    await caller(0).askAll(statements.enqueue, [barrierOf(executions[0]!, 10)])
    for (const execution of executions.slice(1)) {
      await caller(0).ask(statements.enqueue, barrierOf(execution, 10))
    }
    const run = () =>
      shuffled(
        executions.flatMap(execution =>
          INDEXES.slice(0, 10).map(index => decrementOf(execution, index)),
        ),
      )
    // Some wait and some pass over locked barriers, as lanes and common runs do.
    const answers = await together(6, nth =>
      caller(nth).askAll(statements.decrement, run(), nth % 2 === 0),
    )
    return answers.flat()
  })
  t.equal(tally(told.flat().map(({ outcome }) => outcome))['recorded'], times(15) * 60)
  t.strictSame(
    await database.query(
      'select state, callback_state, count(*)::integer from barriers group by 1, 2',
    ),
    [{ state: 'completed', callback_state: 'due', count: times(15) * 6 }],
  )
})

t.test('a run that takes its rows in another order is caught', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 2)
  const backwards = mutant(statements.claim, [
    `from free_batch
  order by namespace, execution_id, generation, batch_index`,
    `from free_batch
  order by namespace, execution_id, generation, batch_index desc`,
  ])
  let caught = 0
  for (let round = 0; caught === 0 && round < 200; round += 1) {
    const both = await Promise.allSettled([
      caller(0).askAll(statements.claim, claimsOf(`run-${round}`)),
      caller(1).askAll(backwards, claimsOf(`run-${round}`)),
    ])
    caught = both.filter(
      run => run.status === 'rejected' && /deadlock/.test(String(run.reason)),
    ).length
  }
  t.equal(caught, 1)
})

t.test('bulk calls of two replicas over the same batches all get their answer', async t => {
  const { database, replica } = await twoReplicas(t)
  const told = await rounds(times(5), async round => {
    const execution = `run-${round}`
    await replica(round).enqueue(execution, { total: INDEXES.length })
    const claims = await together(8, nth =>
      replica(nth).call('POST', `/executions/${execution}/batches/claim`, {
        batch_indexes: shuffled(INDEXES),
        lease_seconds: 60,
      }),
    )
    const counted = await together(8, nth =>
      replica(nth).decrements(execution, {
        batches: shuffled(INDEXES).map(batch_index => ({ batch_index })),
      }),
    )
    return { claims, counted }
  })
  const claims = told.flatMap(round => round.claims.flatMap(({ body }) => body.claims))
  t.strictSame(tally(claims.map(({ outcome }) => outcome)), {
    granted: times(5) * 60,
    in_progress: times(5) * 7 * 60,
  })
  const counted = told.flatMap(round => round.counted.flatMap(({ body }) => body.batches))
  t.strictSame(tally(counted.map(({ outcome }) => outcome)), {
    recorded: times(5) * 60,
    duplicate: times(5) * 7 * 60,
  })
  t.strictSame(
    tally(
      told.map(round => String(round.counted.filter(({ body }) => body.closed_by_this).length)),
    ),
    { '1': times(5) },
  )
  t.equal(await deadlocks(database, [replica(0), replica(1)]), 0)
})

t.test('a clear and bulk takeovers over the same batches both get their answer', async t => {
  const { database, replica } = await twoReplicas(t)
  const replies = await rounds(times(5), async round => {
    const execution = `run-${round}`
    // Stored against the order of their keys, and over.
    await database.query(
      `insert into batches
        (execution_id, generation, batch_index, state, attempt, token, lease_seconds, lease_expires_at)
      select $1, 0, index, 'claimed', 1, '0.1.' || index, 60, clock_timestamp()
      from generate_series($2::integer, 0, -1) as index`,
      [execution, INDEXES.length - 1],
    )
    return Promise.all([
      claimAll(replica(0), execution, INDEXES),
      replica(1).clear(execution),
      claimAll(replica(1), execution, INDEXES.toReversed()),
    ])
  })
  t.strictSame(tally(replies.flat().map(({ status }) => String(status))), { '200': times(5) * 3 })
  t.equal(await deadlocks(database, [replica(0), replica(1)]), 0)
})

t.test(
  'a clear that waited while the last batch closed the barrier forgets that batch too',
  async t => {
    const { database, replica } = await twoReplicas(t)
    await replica(0).enqueue('run', { total: 1 })
    const unlock = await lock(database, 'run')
    // Whoever waits longest for a row gets it first.
    const last = replica(0).decrement('run', { batch_index: 0 })
    await untilWaiting(database, 1)
    const clear = replica(1).clear('run')
    await untilWaiting(database, 2)
    await unlock()
    t.match(await last, { body: { outcome: 'recorded', state: 'completed' } })
    t.match(await clear, { status: 200, body: { cleared: 1 } })
    t.strictSame(await database.query('select from batches'), [])
    t.strictSame(await database.query('select batches_kept from barriers'), [
      { batches_kept: false },
    ])
  },
)

t.test('while one barrier is locked, everything else goes on', async t => {
  // The lock is held for as long as strangers are measured, however slow the machine is.
  const { database, replica } = await twoReplicas(t, {
    ROLLCALL_LOCK_TIMEOUT_SECONDS: '60',
    ROLLCALL_STATEMENT_TIMEOUT_SECONDS: '60',
  })
  await together(21, nth => replica(nth).enqueue(`run-${nth}`, { total: 100 }))
  const free = await medianOf(() => strangers(replica))

  const unlock = await lock(database, 'run-20')
  const waiting = together(4, nth => replica(nth).decrement('run-20', { batch_index: nth }))
  const claimed = await replica(0).claim('run-20', 50)
  const beside = await medianOf(() => strangers(replica))
  // All of that was answered while the lock was held.
  t.equal(claimed.body.outcome, 'granted', 'a claim does not wait for its barrier')
  t.ok(await isPending(waiting))
  t.comment(`median of a round beside the lock ${beside} ms, without it ${free} ms`)

  await unlock()
  t.strictSame(tally((await waiting).map(({ body }) => body.outcome)), { recorded: 4 })
  t.strictSame(
    await database.query(`select succeeded from barriers where execution_id = 'run-20'`),
    [{ succeeded: 4 }],
  )
})

t.test('a barrier that stays locked is refused as overloaded, without effect', async t => {
  const { database, replica } = await twoReplicas(t, { ROLLCALL_LOCK_TIMEOUT_SECONDS: '1' })
  await replica(0).enqueue('run', { total: 10 })
  const unlock = await lock(database, 'run')
  const refused = await Promise.all([
    replica(0).decrement('run', { batch_index: 0 }),
    replica(1).decrement('run', { batch_index: 1 }),
    replica(0).decrements('run', { batches: [{ batch_index: 2 }, { batch_index: 3 }] }),
    replica(1).abort('run'),
    replica(0).enqueue('run', { total: 9, conflict_policy: 'replace' }),
    replica(1).clear('run'),
  ])
  await unlock()
  for (const { status, headers, body } of refused) {
    t.match({ status, headers, body }, overloaded)
  }
  t.strictSame(
    await database.query(`select state, generation, total, succeeded,
      (select count(*)::integer from batches) as batches from barriers`),
    [{ state: 'open', generation: 1, total: 10, succeeded: 0, batches: 0 }],
    'invariant 7: what was refused stored nothing',
  )
  t.match(await replica(0).decrement('run', { batch_index: 0 }), { body: { outcome: 'recorded' } })
})

t.test('ten locked barriers do not take the whole pool', async t => {
  const { database, replica } = await twoReplicas(t)
  await together(30, nth => replica(nth).enqueue(`run-${nth}`, { total: 100 }))
  const unlocks = await together(10, nth => lock(database, `run-${20 + nth}`))
  const waiting = together(20, nth =>
    replica(nth).decrement(`run-${20 + (nth % 10)}`, { batch_index: nth }),
  )
  await untilWaiting(database, 10)
  const beside = await strangers(replica)
  t.ok(beside.every(({ status }) => status === 200))
  t.ok(await isPending(waiting))
  await Promise.all(unlocks.map(unlock => unlock()))
  t.strictSame(tally((await waiting).map(({ body }) => body.outcome)), { recorded: 20 })
})

t.test('sixty aborts of a locked barrier keep no stranger waiting', async t => {
  const database = await freshDatabase(t)
  const one = await service(t, { database })
  await together(22, nth => one.enqueue(`run-${nth}`, { total: 100 }))
  const unlock = await lock(database, 'run-20')
  const aborts = Array.from({ length: 60 }, () => one.abort('run-20', { reason: 'Enough.' }))
  await untilWaiting(database, 1)
  // Strangers who wait for barriers, too.
  const beside = Promise.all([
    strangers(() => one),
    one.enqueue('new', { total: 1 }),
    one.abort('run-21'),
  ])
  const first = await Promise.race([
    beside.then(replies => tally(replies.flat().map(({ status }) => String(status)))),
    Promise.race(aborts).then(() => 'an abort gave up before a stranger was answered'),
  ])
  await unlock()
  await Promise.all([beside, ...aborts])
  t.strictSame(first, { '200': 81, '201': 1 })
})

const overloaded = {
  status: 503,
  headers: { 'retry-after': /^\d+$/ },
  body: { code: 'overloaded', effect: 'none' },
}

function claimsOf(execution: string): object[] {
  return INDEXES.map(index => claimOf(execution, index))
}

let used = 0

/** Decrements and claims of the executions run-0 to run-19, all at once. */
async function strangers(replica: (nth: number) => Awaited<ReturnType<typeof service>>) {
  used += 1
  const index = used
  const decrements = together(40, nth =>
    replica(nth).decrement(`run-${nth % 20}`, {
      batch_index: (2 * index + (nth < 20 ? 0 : 1)) % 100,
    }),
  )
  const claims = together(40, nth => replica(nth).claim(`run-${nth % 20}`, nth < 20 ? 98 : 99))
  return [...(await decrements), ...(await claims)]
}

async function medianOf(act: () => Promise<Reply[]>): Promise<number> {
  const durations = await rounds(7, async () => {
    const begin = performance.now()
    const replies = await act()
    const wrong = replies.find(({ status }) => status !== 200)
    if (wrong) throw new Error(`A stranger was refused: ${wrong.text}`)
    return performance.now() - begin
  })
  return Math.round(durations.toSorted((a, b) => a - b)[3]!)
}

function claimAll(
  replica: Awaited<ReturnType<typeof service>>,
  execution: string,
  batch_indexes: number[],
): Promise<Reply> {
  const body = { batch_indexes, lease_seconds: 60 }
  return replica.call('POST', `/executions/${execution}/batches/claim`, body)
}

/** Locks a barrier in a foreign transaction; returns the way to unlock it. */
async function lock({ pool }: Database, execution: string): Promise<() => Promise<void>> {
  const holder = await pool.connect()
  await holder.query('begin')
  await holder.query(lockOf(execution))
  return async () => {
    await holder.query('rollback')
    holder.release()
  }
}

async function untilWaiting({ url }: Database, count: number): Promise<void> {
  const observer = new Client({ connectionString: url })
  await observer.connect()
  await until(async () => {
    const { rows } = await observer.query<{ count: number }>(
      `select count(*)::integer as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return (rows[0]?.count ?? 0) >= count
  }, `${count} sessions wait for a lock`).finally(() => observer.end())
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  return (await Promise.race([promise, Promise.resolve(pending)])) === pending
}
