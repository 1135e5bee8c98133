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

/** What lease.sql takes, for a run of this generation. */
function leaseOf(generation: number) {
  return JSON.stringify([
    {
      chosen: [{ ord: 0, namespace: '', execution_id: 'run', generation, large_left: 1 }],
      build_bytes: 8_388_608,
      large_bytes: 16_384,
      lease_seconds: 60,
      attempts: 9,
      nonce: 'nonce',
      inline_bytes: 1_048_576,
      public_url: '',
    },
  ])
}

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

t.test('redelivers, the old ack and pulls at once: only the newest lease settles it', async t => {
  const { database, replica } = await twoReplicas(t)
  const told = await rounds(
    times(200),
    async round => {
      const execution = `run-${round}`
      await replica(0).enqueue(execution, { total: 0, callback: { queue: execution } })
      const first = (await replica(0).pull(execution)).body.callbacks
      const [{ token, callback_id }] = first
      await replica(0).ack(execution, token)
      const [acks, pulls] = await Promise.all([
        together(8, nth => replica(nth).ack(execution, token)),
        together(8, nth => replica(nth).pull(execution)),
        together(48, nth => replica(nth).redeliver(execution)),
      ])
      const late = (await replica(1).pull(execution)).body.callbacks
      const leases = [...pulls.flatMap(({ body }) => body.callbacks), ...late]
      const { body } = await replica(0).callback(execution)
      const [newest, ...older] = leases.toSorted((one, other) => other.attempt - one.attempt)
      return [
        body.state,
        new Set(leases.map(lease => lease.token)).size === leases.length,
        leases.every(one => one.callback_id === callback_id && one.token !== token),
        // Before the first redelivery it is a repeat, and after it the token is void.
        acks.every(({ status }) => status === 200 || status === 409),
        (await replica(1).ack(execution, older.at(-1)?.token ?? token)).status,
        (await replica(1).ack(execution, newest?.token)).status,
      ].join(', ')
    },
    { abreast: 4 },
  )
  t.strictSame(tally(told), { 'delivering, true, true, true, 409, 200': times(200) })
  t.strictSame(
    await database.query('select callback_state, count(*)::integer from barriers group by 1'),
    [{ callback_state: 'delivered', count: times(200) }],
  )
})

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

// Between the read of a row and its lock the barrier is replaced and closes: the batches of the new run are not in the snapshot.
for (const { name, sql, values, next = values, gate, guard, ...barrier } of [
  {
    name: 'a pull',
    sql: statements.pull,
    values: [JSON.stringify([pullOf('q')])],
    callback: { queue: 'q', priority: 5 },
    gate: [
      'from generate_series(10, 1, -1) as priority',
      'from (select 5 + length(pg_advisory_xact_lock_shared(1)::text) as priority) as one',
    ],
    guard: ['where seen.generation = locked_barrier.generation', 'where true'],
  },
  {
    name: 'a lease',
    sql: statements.lease,
    values: [leaseOf(1)],
    next: [leaseOf(2)],
    callback: { url: 'https://hooks.example/', priority: 5 },
    callback_host: 'hooks.example',
    gate: gateOf('(select * from chosen order by namespace, execution_id) as chosen'),
    guard: ['      and barriers.generation = chosen.generation\n', ''],
  },
  {
    name: 'a step that gives up',
    sql: statements.giveUp,
    values: [60, 1_048_576, '', 2, 0],
    callback: { queue: 'q', priority: 5 },
    gate: gateOf('  from candidate\n  cross join lateral ('),
    guard: ['      and barriers.generation = candidate.generation\n', ''],
  },
] as const) {
  t.test(
    `${name} leaves a generation that is newer than its snapshot for the next look`,
    async t => {
      const results = [{ batch_index: 0, status: 'succeeded', result: 2 }]
      const built = (statement: Statement) =>
        replacedBetween(t, { statement, gate, values, next, barrier })
      t.match(await built(sql), { data: { generation: 2, succeeded: 1, results } })
      const wrong = await built(mutant(sql, guard))
      t.match(wrong, { data: { generation: 2, succeeded: 1 } }, 'a statement without the guard')
      t.strictSame(wrong.data.results, [], 'is caught')
    },
  )
}

/** Candidates wait for an advisory lock before they are locked. */
function gateOf(candidates: string): [guard: string, without: string] {
  const name = candidates.includes('chosen') ? 'chosen' : 'candidate'
  const [before = '', after = ''] = candidates.split(name, 2)
  const held = `(select ${name}.*, pg_advisory_xact_lock_shared(1) from ${name} offset 0) as ${name}`
  return [candidates, candidates.startsWith('(') ? held : `${before}${held}${after}`]
}

/**
 * Runs the statement with a snapshot that has generation 1, and lets it go on once generation 2 is committed and due; then
 * once more. Returns the message that was built.
 */
async function replacedBetween(
  t: Test,
  {
    statement,
    gate,
    values,
    next,
    barrier,
  }: {
    statement: Statement
    gate: readonly [guard: string, without: string]
    values: readonly unknown[]
    /** What the statement takes once the barrier is replaced. */
    next: readonly unknown[]
    /** Its callback. */
    barrier: object
  },
): Promise<Message> {
  const database = await freshDatabase(t)
  const caller = await callers(database, 1)
  const age = () =>
    database.query(
      `update barriers set callback_due_at = now() - interval '1 hour' where callback_state = 'due'`,
    )
  await caller(0).ask(statements.enqueue, barrierOf('run', 0, barrier))
  await age()
  const holder = await database.pool.connect()
  t.teardown(() => holder.release())
  await holder.query('begin')
  await holder.query('select pg_advisory_xact_lock(1)')
  const held = database.query(mutant(statement, gate).text, [...values])
  await until(async () => {
    const { rowCount } = await holder.query(
      `select from pg_locks join pg_database on pg_database.oid = database
      where datname = current_database() and locktype = 'advisory' and not granted`,
    )
    return rowCount === 1
  }, 'the statement has its snapshot')
  const second = barrierOf('run', 1, { ...barrier, conflict_policy: 'replace' })
  await repeatAgain(caller(0), second, statements.enqueue)
  await repeatAgain(caller(0), decrementOf('run', 0, { result: 2 }))
  await age()
  await holder.query('rollback')
  await held
  await database.query(statement.text, [...next])
  const [row] = await database.query<{ message: Message }>(
    'select callback_message as message from barriers',
  )
  if (row === undefined) throw new Error('There is no barrier.')
  return row.message
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
