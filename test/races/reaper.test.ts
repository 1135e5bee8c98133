import t from 'tap'
import type { Statement } from '../../src/database/statement.ts'
import { type Database, freshDatabase } from '../fixtures/database.ts'
import {
  ask,
  barrierOf,
  behindLock,
  type Caller,
  callers,
  claimOf,
  deadlocks,
  decrementOf,
  lockOf,
  mutant,
  repeatAgain,
  rounds,
  shuffled,
  statements,
  states,
  tally,
  times,
  together,
  twoReplicas,
  until,
} from '../fixtures/gate.ts'

const INDEXES = Array.from({ length: 20 }, (_, index) => index)
const everyEnd = { callback_events: ['completed', 'aborted', 'expired'] }

t.test('the reaper against the last decrement: one end, and its one callback', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 6)
  const chunk = 50
  const told = await rounds(times(1000) / chunk, async round => {
    const executions = Array.from({ length: chunk }, (_, nth) => `run-${round * chunk + nth}`)
    await inTurns(
      executions.map(
        execution => (nth: number) =>
          caller(nth).ask(statements.enqueue, barrierOf(execution, 1, everyEnd)),
      ),
      6,
    )
    // Half of them are over already, the others while the race goes on.
    await database.query(
      `update barriers set expires_at = clock_timestamp() + random() * interval '20 milliseconds' - interval '10 milliseconds'
      where state = 'open'`,
    )
    const decrements = executions.map(execution => async (nth: number) => {
      const { outcome } = await repeatAgain(caller(nth), decrementOf(execution))
      return outcome
    })
    const reaps = Array.from({ length: 4 }, () => async (nth: number) => {
      await caller(nth).step(statements.expire)
      return 'reaped'
    })
    return inTurns(shuffled([...decrements, ...reaps]), 6)
  })
  const outcomes = tally(told.flat().filter(outcome => outcome !== 'reaped'))
  const { recorded = 0, barrier_closed: refused = 0 } = outcomes
  t.comment(outcomes)
  t.equal(recorded + refused, times(1000), 'every decrement knows')
  t.ok(recorded > 0 && refused > 0, 'both came first')
  t.strictSame(await states(database), {
    'completed 1 due, 1 recorded': recorded,
    'expired 0 due, 0 recorded': refused,
  })
  t.strictSame(
    await database.query(
      `select count(distinct callback_id)::integer as callbacks from barriers
      where callback_id = 'cb_' || closing_nonce and (state = 'expired') = (reason is not null)`,
    ),
    [{ callbacks: times(1000) }],
  )
})

t.test('a reaper that does not lock what it selects is caught', async t => {
  const unlocked = mutant(statements.expire, ['  for no key update skip locked\n', ''])
  const race = async (sql: Statement) => {
    const database = await freshDatabase(t)
    const caller = await callers(database, 2)
    await caller(0).ask(statements.enqueue, barrierOf('run', 1, everyEnd))
    await database.query('update barriers set expires_at = clock_timestamp()')
    const reaped = await behindLock(database, lockOf('run'), 2, async untilWaiting => {
      const counted = repeatAgain(caller(0), decrementOf('run'))
      await untilWaiting(1)
      const [step] = await Promise.allSettled([caller(1).step(sql), counted])
      return step
    })
    return { reaped, ended: await states(database) }
  }
  const caught = await race(unlocked)
  t.match(String((caught.reaped as PromiseRejectedResult).reason), /barriers_closed_once/)
})

t.test('the reaper passes over a barrier that somebody else has locked', async t => {
  const { database, replica } = await twoReplicas(t)
  const { reaper } = replica(0).app
  for (const execution of ['run', 'tried']) {
    await replica(0).enqueue(execution, { total: 2, max_attempts: 1 })
    await replica(0).claim(execution, 0, { lease_seconds: 60 })
  }
  await replica(0).enqueue('over', { total: 0 })
  const all = ['run', 'tried', 'over']
  await old(database, all)
  const foreign = await database.pool.connect()
  await foreign.query('begin')
  await foreign.query(lockOf('run'))
  await foreign.query(lockOf('over'))
  await foreign.query(`select from batches where execution_id = 'tried' for update`)
  t.equal(await reaper.exhaustOnce(), 0, 'the barrier of one is locked, the batch of the other')
  t.equal(await reaper.closeStuckOnce(), 1, 'of the one that is not locked')
  t.equal(await reaper.expireOnce(), 0)
  t.equal(await reaper.forgetBatchesOnce(), 0)
  await foreign.query('rollback')
  foreign.release()
  t.equal(await reaper.expireOnce(), 1)
  t.equal(await reaper.forgetBatchesOnce(), 1)
})

t.test('a stale candidate that progressed meanwhile is left alone', async t => {
  const snapshotOnly = ['    for no key update skip locked\n', ''] as const
  const races: Record<string, { sql: Statement; act: Act; open: boolean }> = {
    'a heartbeat, which moves the progress': {
      sql: statements.stuck,
      act: caller => caller.ask(statements.heartbeat, ask('run', { batch_index: 0, token })),
      open: true,
    },
    'a claim': {
      sql: statements.stuck,
      act: caller => caller.ask(statements.claim, claimOf('run', 1)),
      open: true,
    },
    'a decrement': {
      sql: statements.stuck,
      act: caller => caller.ask(statements.decrement, decrementOf('run', 1), true),
      open: true,
    },
    'a replace': {
      sql: statements.stuck,
      act: caller =>
        caller.ask(statements.enqueue, barrierOf('run', 3, { conflict_policy: 'replace' })),
      open: true,
    },
    'a replace, for what expired': {
      sql: statements.expire,
      act: caller =>
        caller.ask(statements.enqueue, barrierOf('run', 3, { conflict_policy: 'replace' })),
      open: true,
    },
    'a heartbeat, for the last attempt': {
      sql: statements.exhaust,
      act: caller => caller.ask(statements.heartbeat, ask('run', { batch_index: 0, token })),
      open: true,
    },
    'a decrement, for the last attempt': {
      sql: statements.exhaust,
      act: caller => caller.ask(statements.decrement, decrementOf('run', 0), true),
      open: true,
    },
    nothing: { sql: statements.stuck, act: async () => undefined, open: false },
    'nothing, for what expired': {
      sql: statements.expire,
      act: async () => undefined,
      open: false,
    },
    'nothing, for the last attempt': {
      sql: statements.exhaust,
      act: async () => undefined,
      open: false,
    },
    'a heartbeat, judged by the snapshot, is reaped all the same': {
      sql: mutant(statements.stuck, [snapshotOnly[0].slice(2), '']),
      act: caller => caller.ask(statements.heartbeat, ask('run', { batch_index: 0, token })),
      open: false,
    },
    'the last attempt, judged by the snapshot, is recorded all the same': {
      sql: mutant(statements.exhaust, [
        `
      and (
        batches.state = 'released'
        or batch_lease_is_over(
          batches.lease_expires_at + make_interval(secs => $4), batches.last_seen_at - make_interval(secs => $4)
        )
      )`,
        '',
      ]),
      act: caller => caller.ask(statements.heartbeat, ask('run', { batch_index: 0, token })),
      open: false,
    },
  }
  let token = ''
  const database = await freshDatabase(t)
  const caller = await callers(database, 2)
  for (const [name, { sql, act, open }] of Object.entries(races)) {
    await database.query('truncate barriers, batches')
    await caller(0).ask(statements.enqueue, barrierOf('run', 3, { max_attempts: 1 }))
    const { reply } = await caller(0).ask(statements.claim, claimOf('run', 0))
    token = reply?.token ?? ''
    await old(database, ['run'])
    await between(database, caller(0), sql, () => act(caller(1)))
    const [row] = await database.query<{ state: string }>('select state from barriers')
    t.equal(row?.state === 'open', open, name)
  }
})

t.test('two reapers close each barrier once', async t => {
  const { database, replica } = await twoReplicas(t)
  await insert(database, 200)
  const closed = await together(2, async nth => {
    let sum = 0
    await until(async () => {
      sum += await replica(nth).app.reaper.expireOnce()
      const [open] = await database.query(`select from barriers where state = 'open' limit 1`)
      return open === undefined
    }, 'all barriers are closed')
    return sum
  })
  t.equal(closed[0]! + closed[1]!, 200)
  t.strictSame(await states(database), { 'expired 0 due, 0 recorded': 200 })
})

t.test('10,000 barriers that expire at once are closed in bounded steps beside claims', async t => {
  const { database, replica } = await twoReplicas(t)
  await insert(database, 10_000)
  await replica(1).enqueue('fresh', { total: 100_000 })
  const ended = new AbortController()
  const reaping = async () => {
    const steps: number[] = []
    do steps.push(await replica(0).app.reaper.expireOnce())
    while (steps.at(-1)! > 0)
    ended.abort()
    return steps
  }
  const claiming = async () => {
    const outcomes: string[] = []
    for (let index = 0; !ended.signal.aborted; index += 1) {
      const both = await Promise.all([
        replica(1).claim('fresh', index),
        replica(1).claim(`run-${10_000 - index}`, 0),
      ])
      outcomes.push(...both.map(({ body }) => body.outcome as string))
    }
    return tally(outcomes)
  }
  const [steps, claims] = await Promise.all([reaping(), claiming()])
  t.ok(Math.max(...steps) <= 100)
  t.equal(
    steps.reduce((sum, count) => sum + count, 0),
    10_000,
  )
  t.comment(`${steps.length} steps`, claims)
  const { granted = 0, closed = 0, ...others } = claims
  t.ok(granted > 50, 'claims went on')
  t.strictSame(others, {}, `and each was answered, ${closed} of them closed`)
  t.strictSame(await states(database), {
    'open 0 none, 0 recorded': 1,
    'expired 0 due, 0 recorded': 10_000,
  })
})

t.test('abort and replace against expiry: one of them came first, and it shows', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 6)
  const chunk = 20
  const told = await rounds(times(10), async round => {
    const executions = Array.from({ length: chunk }, (_, nth) => `run-${round * chunk + nth}`)
    await inTurns(
      executions.map(
        execution => (nth: number) =>
          caller(nth).ask(statements.enqueue, barrierOf(execution, 1, everyEnd)),
      ),
      6,
    )
    await database.query(
      `update barriers set expires_at = clock_timestamp() where state = 'open' and generation = 1`,
    )
    const aborts = executions.map(execution => async (nth: number) => {
      const asked = ask(execution, { generation: 1, reason: 'Enough.' })
      const { outcome } = await caller(nth).ask(statements.abort, asked)
      return outcome
    })
    const replaces = executions.map(execution => async (nth: number) => {
      const asked = barrierOf(execution, 1, { conflict_policy: 'replace', ...everyEnd })
      const { reply } = await caller(nth).ask(statements.enqueue, asked)
      return `replaced ${(reply as { replaced?: { state: string } }).replaced?.state}`
    })
    const reaps = Array.from({ length: 6 }, () => async (nth: number) => {
      await caller(nth).step(statements.expire)
      return 'reaped'
    })
    return inTurns(shuffled([...aborts, ...replaces, ...reaps]), 6)
  })
  const outcomes = tally(told.flat())
  t.comment(outcomes)
  t.equal(outcomes['aborted'], outcomes['replaced aborted'], 'an abort that won is what was ended')
  t.ok(outcomes['replaced expired']! > 0, 'and so is an expiry')
  t.equal(
    (outcomes['replaced aborted'] ?? 0) +
      (outcomes['replaced expired'] ?? 0) +
      (outcomes['replaced open'] ?? 0),
    times(10) * chunk,
  )
  t.strictSame(
    await database.query('select state, generation, count(*)::integer from barriers group by 1, 2'),
    [{ state: 'open', generation: 2, count: times(10) * chunk }],
    'the new run has a time of its own',
  )
})

t.test('the reaper beside everything else: counters are exact, and nothing deadlocks', async t => {
  const { database, replica } = await twoReplicas(t)
  const indexes = INDEXES.slice(0, 10)
  const recordedIn = (nth: number) => (nth === 5 ? indexes.slice(0, 9) : indexes)
  await rounds(times(12), async round => {
    const executions = Array.from({ length: 6 }, (_, nth) => `run-${round}-${nth}`)
    const run = { total: 10, max_attempts: 1, tolerated_failure_count: 3 }
    await together(6, nth => replica(nth).enqueue(executions[nth]!, run))
    await together(6, nth =>
      replica(nth).call('POST', `/executions/${executions[nth]}/batches/claim`, {
        batch_indexes: indexes,
        lease_seconds: 60,
      }),
    )
    await old(database, executions)
    // Only some of them are late, and some batches. In the last one the last batch is, and nobody records it.
    await database.query(
      `update barriers set expires_at = clock_timestamp() + interval '1 hour'
      where random() < 0.8 or execution_id like '%-5'`,
    )
    await database.query(
      `update batches set lease_expires_at = clock_timestamp() + interval '1 hour'
      where state = 'claimed' and random() < 0.8 and not (execution_id like '%-5' and batch_index = 9)`,
    )
    await Promise.all([
      ...executions.map((execution, nth) =>
        replica(nth).decrements(execution, {
          batches: shuffled(recordedIn(nth)).map(batch_index => ({ batch_index })),
        }),
      ),
      ...executions.map((execution, nth) =>
        replica(nth + 1).call('POST', `/executions/${execution}/batches/claim`, {
          batch_indexes: shuffled(indexes),
          lease_seconds: 60,
        }),
      ),
      replica(round).abort(executions[0]!, { reason: 'Enough.' }),
      replica(round).enqueue(executions[1]!, { ...run, conflict_policy: 'replace' }),
      ...shuffled([0, 1, 0, 1]).map(nth => replica(nth).app.reaper.roundOnce()),
    ])
    // What was locked by somebody else was passed over.
    await replica(round).app.reaper.roundOnce()
  })
  t.comment(await states(database))
  t.strictSame(
    await database.query(
      `select execution_id, succeeded, failed, result_bytes from barriers
      where (succeeded, failed, result_bytes) <> (
        select count(*) filter (where state = 'succeeded'), count(*) filter (where state = 'failed'),
          coalesce(sum(outcome_bytes) filter (where state in ('succeeded', 'failed')), 0)
        from batches
        where execution_id = barriers.execution_id and generation = barriers.generation
      )`,
    ),
    [],
  )
  t.ok(
    (await database.query(`select from batches where error ->> 'code' = 'attempts_exhausted'`))
      .length > 0,
    'some were out of attempts',
  )
  t.equal(await deadlocks(database, [replica(0), replica(1)]), 0)
})

t.test(
  "at the end of the grace time a batch has one outcome, its holder's or the reaper's",
  async t => {
    const graceSeconds = 600
    const database = await freshDatabase(t)
    const caller = await callers(database, 64)
    const told = await rounds(times(200), async round => {
      const execution = `run-${round}`
      await caller(0).ask(
        statements.enqueue,
        barrierOf(execution, 1, { ...everyEnd, max_attempts: 1 }),
      )
      const { reply } = await caller(0).ask(statements.claim, claimOf(execution))
      // The grace time ended a moment ago, or does so while the race goes on.
      await database.query(
        `update batches
      set lease_expires_at = clock_timestamp() - make_interval(secs => $2) + (random() - 0.5) * interval '20 milliseconds'
      where execution_id = $1`,
        [execution, graceSeconds],
      )
      const outcomes = await together(64, async nth => {
        if (nth % 8 === 0) {
          await caller(nth).step(statements.exhaust, graceSeconds)
          return 'reaped'
        }
        const { outcome, status } = await repeatAgain(
          caller(nth),
          decrementOf(execution, 0, { token: reply?.token }),
        )
        return `${outcome} ${status}`
      })
      return JSON.stringify(tally(outcomes.toSorted()))
    })
    const holders = JSON.stringify({
      'duplicate succeeded': 55,
      reaped: 8,
      'recorded succeeded': 1,
    })
    const reapers = JSON.stringify({ 'duplicate failed': 56, reaped: 8 })
    const { [holders]: recorded = 0, [reapers]: failed = 0, ...others } = tally(told)
    t.comment({ recorded, failed })
    t.strictSame(others, {})
    t.ok(recorded > 0 && failed > 0, 'both came first')
    t.strictSame(await states(database), {
      'completed 1 due, 1 recorded': recorded,
      'aborted 1 due, 1 recorded': failed,
    })
  },
)

t.test('a claim and a heartbeat never wait for a locked barrier', async t => {
  const { database, replica } = await twoReplicas(t)
  await replica(0).enqueue('run', { total: 2 })
  const { token } = (await replica(0).claim('run', 0, { lease_seconds: 60 })).body
  await database.query(`update barriers set last_progress_at = now() - interval '1 hour'`)
  const foreign = await database.pool.connect()
  await foreign.query('begin')
  await foreign.query(lockOf('run'))
  t.match((await replica(0).claim('run', 1)).body, { outcome: 'granted' })
  t.equal((await replica(1).heartbeat('run', 0, { token })).status, 200)
  await foreign.query('rollback')
  foreign.release()
  const progress = `select last_progress_at > now() - interval '1 minute' as moved from barriers`
  t.strictSame(await database.query(progress), [{ moved: false }], 'the progress was passed over')
  await replica(1).heartbeat('run', 0, { token })
  t.strictSame(await database.query(progress), [{ moved: true }], 'and the next one moved it')
})

t.test('progress of claims and heartbeats does not deadlock with decrements', async t => {
  const { database, replica } = await twoReplicas(t)
  await rounds(times(10), async round => {
    const executions = Array.from({ length: 4 }, (_, nth) => `run-${round}-${nth}`)
    await together(4, nth => replica(nth).enqueue(executions[nth]!, { total: 20 }))
    await progressAlways(database)
    await together(24, nth => {
      const path = `/executions/${executions[nth % 4]}`
      const batch_indexes = shuffled(INDEXES)
      return nth < 12
        ? replica(nth % 5).call('POST', `${path}/batches/claim`, {
            batch_indexes,
            lease_seconds: 60,
          })
        : replica(nth % 7).decrements(executions[nth % 4]!, {
            batches: batch_indexes.slice(0, 15).map(batch_index => ({ batch_index })),
          })
    })
  })
  t.equal(await deadlocks(database, [replica(0), replica(1)]), 0)
})

t.test('runs of claims and decrements do not deadlock, and a waiting touch does', async t => {
  const waiting = mutant(statements.claim, ['for no key update skip locked', 'for no key update'])
  const race = async (claim: Statement, count: number) => {
    const database = await freshDatabase(t)
    const caller = await callers(database, 8)
    const errors = await rounds(count, async round => {
      const executions = Array.from({ length: 3 }, (_, nth) => `run-${round}-${nth}`)
      for (const execution of executions) {
        await caller(0).ask(statements.enqueue, barrierOf(execution, 20))
      }
      await progressAlways(database)
      const every = <Asked>(act: (execution: string, index: number) => Asked) =>
        executions.flatMap(execution => INDEXES.map(index => act(execution, index)))
      const all = await Promise.allSettled(
        INDEXES.slice(0, 8).map(nth =>
          nth % 2 === 0
            ? caller(nth).askAll(
                claim,
                shuffled(every((execution, index) => claimOf(execution, index))),
              )
            : caller(nth).askAll(
                statements.decrement,
                shuffled(every((execution, index) => decrementOf(execution, index))).slice(0, 30),
                true,
              ),
        ),
      )
      return all.flatMap(one => (one.status === 'rejected' ? [String(one.reason)] : []))
    })
    return errors.flat()
  }
  t.strictSame(await race(statements.claim, times(15)), [])
  let errors: string[] = []
  for (let round = 0; errors.length === 0 && round < 100; round += 1) {
    errors = await race(waiting, 1)
  }
  t.match(
    errors[0],
    /deadlock|lock timeout/,
    'a claim that waits with its batches locked is caught',
  )
})

type Act = (caller: Caller) => Promise<unknown>

/** Each of so many callers does the next thing that nobody has begun. */
async function inTurns<Result>(
  acts: readonly ((nth: number) => Promise<Result>)[],
  count: number,
): Promise<Result[]> {
  const left = [...acts]
  const results = await together(count, async nth => {
    const own: Result[] = []
    for (let act = left.shift(); act; act = left.shift()) own.push(await act(nth))
    return own
  })
  return results.flat()
}

/** Runs a step that has taken its snapshot, and not yet looked at a row, when `act` happens. */
async function between(
  { pool }: Database,
  caller: Caller,
  { text }: Statement,
  act: () => Promise<unknown>,
): Promise<void> {
  const gated = mutant({ name: '', text }, [
    `\n  where state `,
    `\n  where (select pg_advisory_xact_lock_shared(7)) is not null and state `,
  ])
  const holder = await pool.connect()
  await holder.query('select pg_advisory_lock(7)')
  const step = caller.step(gated)
  await until(async () => {
    const { rows } = await holder.query<{ count: number }>(
      `select count(*)::integer as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return rows[0]?.count === 1
  }, 'the step waits at its gate')
  await act().finally(() => holder.query('select pg_advisory_unlock(7)'))
  holder.release()
  await step
}

/** Nothing happened to these executions for a year, but what keeps them going is for their callers to set. */
async function old(database: Database, executions: readonly string[]): Promise<void> {
  await database.query(
    `update barriers
    set (created_at, last_progress_at, expires_at, stuck_check_at, closed_at) = (
      select created_at - year, last_progress_at - year, expires_at - year, stuck_check_at - year, closed_at - year
      from cast('1 year' as interval) as year
    )
    where execution_id = any ($1)`,
    [executions],
  )
  await database.query(
    `update batches
    set (claimed_at, lease_expires_at, last_seen_at) = (
      select claimed_at - year, lease_expires_at - year, last_seen_at - year
      from cast('1 year' as interval) as year
    )
    where execution_id = any ($1)`,
    [executions],
  )
}

/** So many open barriers whose time is over. */
async function insert(database: Database, count: number): Promise<void> {
  await database.query(
    `insert into barriers (execution_id, total, fingerprint, enqueue_nonce, expires_at, callback, callback_queue, callback_priority,
      callback_events)
    select 'run-' || nth, 3, '', nth, now(), '{"queue":"ends"}', 'ends', 5, '{expired}'
    from generate_series(1, $1) as nth`,
    [count],
  )
}

/** Every grant and every extension has progress to move, which no lawful bound makes it have. */
async function progressAlways(database: Database): Promise<void> {
  await database.query(
    'alter table barriers drop constraint if exists barriers_stuck_after_1_to_2592000_seconds',
  )
  await database.query('update barriers set stuck_after_seconds = 0')
}
