import t, { type Test } from 'tap'
import type { Statement } from '../../src/database/statement.ts'
import { freshDatabase } from '../fixtures/database.ts'
import {
  ask,
  barrierOf,
  behindLock,
  callers,
  decrementOf,
  lockOf,
  mutant,
  repeatAgain,
  rounds,
  statements,
  tally,
  times,
  together,
  twoReplicas,
  until,
} from '../fixtures/gate.ts'

/** What claim.sql takes. */
const pullOf = (queue: string, members: object = {}) => ({
  namespace: '',
  queue,
  most: 1,
  lease_seconds: 60,
  inline_bytes: 1_048_576,
  public_url: '',
  reply_bytes: 8_388_608,
  ...members,
})

/** A row as claim.sql returns it. */
interface Pulled {
  callbacks: { execution_id: string; generation: number; token: string; message: Message }[]
}

interface Message {
  data: { generation: number; succeeded: number; results: unknown[] }
}

const pulledOf = (answer: unknown) => (answer as Pulled).callbacks

t.test('of 64 pullers of one due callback one is leased it', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 64)
  const told = await rounds(times(200), async round => {
    const execution = `run-${round}`
    await caller(0).ask(
      statements.enqueue,
      barrierOf(execution, 0, { callback: { queue: execution, priority: 5 } }),
    )
    const answers = await together(64, nth => caller(nth).ask(statements.pull, pullOf(execution)))
    return answers.flatMap(pulledOf)
  })
  t.strictSame(tally(told.map(leases => String(leases.length))), { '1': times(200) })
  t.strictSame(
    await database.query(
      `select callback_state as state, callback_attempt as attempt, count(*)::integer
      from barriers group by 1, 2`,
    ),
    [{ state: 'delivering', attempt: 1, count: times(200) }],
  )
})

t.test(
  'of 64 pullers of a lease that is over one takes it over, with a token of its own',
  async t => {
    const database = await freshDatabase(t)
    const caller = await callers(database, 64)
    await caller(0).ask(
      statements.enqueue,
      barrierOf('run', 0, { callback: { queue: 'q', priority: 5 } }),
    )
    const told = await rounds(times(50), async () => {
      const answers = await together(64, nth => caller(nth).ask(statements.pull, pullOf('q')))
      await database.query(`update barriers set callback_due_at = now() - interval '1 second'`)
      return answers.flatMap(pulledOf)
    })
    t.strictSame(tally(told.map(leases => String(leases.length))), { '1': times(50) })
    const tokens = told.flat().map(({ token }) => token)
    t.equal(new Set(tokens).size, times(50), 'tokens never repeat')
  },
)

t.test('64 pullers of many callbacks share them: each is leased once', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 64)
  const told = await rounds(times(5), async round => {
    await database.query(
      `insert into barriers (
        execution_id, total, state, closed_at, closing_nonce, fingerprint, enqueue_nonce, expires_at, callback,
        callback_queue, callback_priority, callback_events, callback_state, callback_id, callback_due_at
      )
      select $1 || number, 0, 'completed', now(), 'c', 'f', 'n', now(),
        json_build_object('queue', $1, 'priority', 1 + number % 10), $1, 1 + number % 10, '{completed}', 'due', $1 || number, now()
      from generate_series(1, 200) as number`,
      [`run-${round}-`],
    )
    const pullAll = async (nth: number): Promise<string[]> => {
      const leases = pulledOf(
        await caller(nth).ask(statements.pull, pullOf(`run-${round}-`, { most: 7 })),
      )
      const names = leases.map(({ execution_id }) => execution_id)
      return leases.length === 0 ? names : [...names, ...(await pullAll(nth))]
    }
    const names = (await together(64, pullAll)).flat()
    return `${names.length} ${new Set(names).size}`
  })
  t.strictSame(tally(told), { '200 200': times(5) })
})

t.test(
  'ack, retry and takeover at once: one attempt, one end, and each is told the truth',
  async t => {
    const { database, replica } = await twoReplicas(t)
    const told = await rounds(
      times(50),
      async round => {
        const execution = `run-${round}`
        await replica(0).enqueue(execution, { total: 0, callback: { queue: execution } })
        const { body } = await replica(0).pull(execution)
        const [{ token }] = body.callbacks
        await database.query(
          `update barriers set callback_due_at = now() - interval '1 second' where execution_id = $1`,
          [execution],
        )
        const [ack, retry, pull] = await Promise.all([
          replica(round).ack(execution, token),
          replica(round + 1).retry(execution, token, { delay_seconds: 60 }),
          replica(round).pull(execution),
        ])
        const { body: after } = await replica(0).callback(execution)
        return {
          acknowledged: ack.status === 200,
          takenOver: pull.body.callbacks.length === 1,
          givenBack: retry.status === 200,
          state: after.state,
          attempt: after.attempt,
        }
      },
      { abreast: 4 },
    )
    for (const { acknowledged, takenOver, state, attempt } of told) {
      t.equal(takenOver, !acknowledged, 'an acknowledged one is not taken over')
      t.equal(state, acknowledged ? 'delivered' : 'delivering')
      t.equal(attempt, takenOver ? 2 : 1)
    }
    t.comment(JSON.stringify(tally(told.map(one => JSON.stringify(one)))))
  },
)

t.test(
  'a callback whose barrier is replaced as it is pulled has the results of its own run',
  async t => {
    const database = await freshDatabase(t)
    const caller = await callers(database, 4)
    const callback = { queue: 'q', priority: 5 }
    const told = await rounds(times(50), async round => {
      const execution = `run-${round}`
      await caller(0).ask(statements.enqueue, barrierOf(execution, 1, { callback }))
      await repeatAgain(caller(0), decrementOf(execution, 0, { result: 1 }))
      const replace = async () => {
        const second = barrierOf(execution, 2, { callback, conflict_policy: 'replace' })
        await repeatAgain(caller(1), second, statements.enqueue)
        await repeatAgain(caller(1), decrementOf(execution, 0, { result: 2 }))
        await repeatAgain(caller(1), decrementOf(execution, 1, { result: 2 }))
      }
      const [, ...pulls] = await Promise.all([
        replace(),
        ...[2, 3].map(async nth => [
          ...pulledOf(await caller(nth).ask(statements.pull, pullOf('q'))),
          ...pulledOf(await caller(nth).ask(statements.pull, pullOf('q'))),
          ...pulledOf(await caller(nth).ask(statements.pull, pullOf('q'))),
        ]),
      ])
      const rest = pulledOf(await caller(2).ask(statements.pull, pullOf('q', { most: 10 })))
      return [...pulls.flat(), ...rest]
    })
    const wrong = told
      .flat()
      .filter(({ message: { data } }) => data.results.length !== data.succeeded)
    t.strictSame(wrong, [])
    const generations = told.map(
      leases => leases.filter(({ generation }) => generation === 2).length,
    )
    t.strictSame(tally(generations.map(String)), { '1': times(50) }, 'one lease of the new run')
  },
)

// Between the read of a row and its lock the barrier is replaced and closes.
const unguarded = mutant(statements.pull, [
  'where seen.generation = held.generation',
  'where seen.generation <= held.generation',
])

t.test('a generation that is newer than the snapshot is left for the next look', async t => {
  const results = [{ batch_index: 0, status: 'succeeded', result: 2 }]
  const [guarded] = await replacedBetween(t, statements.pull)
  t.match(guarded?.message.data, { generation: 2, succeeded: 1, results })
  const [wrong] = await replacedBetween(t, unguarded)
  t.match(wrong?.message.data, { generation: 2, succeeded: 1 }, 'a statement without the guard')
  t.strictSame(wrong?.message.data.results, [], 'is caught')
})

/**
 * A pull whose snapshot has generation 1, and which locks the row once generation 2 is committed and due: an advisory lock
 * before the scan holds it in between.
 */
async function replacedBetween(t: Test, sql: Statement): Promise<Pulled['callbacks']> {
  const database = await freshDatabase(t)
  const caller = await callers(database, 2)
  const callback = { queue: 'q', priority: 5 }
  await caller(0).ask(statements.enqueue, barrierOf('run', 0, { callback }))
  const held = mutant(sql, [
    'from generate_series(10, 1, -1) as priority',
    'from (select 5 + length(pg_advisory_xact_lock_shared(1)::text) as priority) as one',
  ])
  const holder = await database.pool.connect()
  t.teardown(() => holder.release())
  await holder.query('begin')
  await holder.query('select pg_advisory_xact_lock(1)')
  const pull = caller(0).ask(held, pullOf('q'))
  await until(async () => {
    const { rowCount } = await holder.query(
      `select from pg_locks where locktype = 'advisory' and not granted`,
    )
    return rowCount === 1
  }, 'the pull has its snapshot')
  const second = barrierOf('run', 1, { callback, conflict_policy: 'replace' })
  await repeatAgain(caller(1), second, statements.enqueue)
  await repeatAgain(caller(1), decrementOf('run', 0, { result: 2 }))
  // Its closing began before the pull did.
  await database.query(`update barriers set callback_due_at = now() - interval '1 minute'`)
  await holder.query('rollback')
  const leased = pulledOf(await pull)
  return leased.length > 0 ? leased : pulledOf(await caller(0).ask(sql, pullOf('q')))
}

t.test('an ack that waits for a replace does not settle the new callback', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 3)
  const callback = { queue: 'q', priority: 5 }
  const told = await rounds(30, async round => {
    const execution = `run-${round}`
    await caller(0).ask(statements.enqueue, barrierOf(execution, 0, { callback }))
    const [leased] = pulledOf(await caller(0).ask(statements.pull, pullOf('q')))
    return behindLock(database, lockOf(execution), 2, async untilWaiting => {
      const second = barrierOf(execution, 0, { callback, conflict_policy: 'replace' })
      const replaced = repeatAgain(caller(1), second, statements.enqueue)
      await untilWaiting(1)
      const acknowledged = await caller(2).ask(
        statements.ack,
        ask(execution, { token: leased?.token }),
      )
      await replaced
      const [lease] = pulledOf(await caller(0).ask(statements.pull, pullOf('q')))
      return `${acknowledged.outcome} ${lease?.generation}`
    })
  })
  t.strictSame(tally(told), { 'stale_generation 2': 30 })
})
