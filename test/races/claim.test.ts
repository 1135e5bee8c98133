import t from 'tap'
import { type Database, freshDatabase } from '../fixtures/database.ts'
import {
  type Answer,
  behindLock,
  callers,
  claimOf,
  endLeases,
  mutant,
  rounds,
  statements,
  tally,
  times,
  together,
  twoReplicas,
} from '../fixtures/gate.ts'
import type { Reply } from '../fixtures/service.ts'

const ROUNDS = times(200)
const DIRECT_ROUNDS = times(10)
const CALLERS = 64
/** For the races whose size is not promised; `npm run test:long` runs ten times as many rounds. */
const FEW = times(10)

t.test('invariant 1: of 64 claims of a fresh batch exactly one is granted', async t => {
  const { database, replica } = await twoReplicas(t)
  const told = await rounds(
    ROUNDS,
    round => together(CALLERS, nth => replica(nth).claim(`run-${round}`, 0, { lease_seconds: 60 })),
    { abreast: 4 },
  )
  t.strictSame(tally(told.map(grantsTold)), { '1': ROUNDS })
  t.strictSame(tally(told.flat().map(reply => `${reply.status} ${reply.body.outcome}`)), {
    '200 granted': ROUNDS,
    '200 in_progress': ROUNDS * (CALLERS - 1),
  })
  t.strictSame(await held(database, ROUNDS), told.map(grantOf), 'the rows bear what was told')
})

t.test('invariant 1: of 1,000 claims at once one is granted, and again at lease end', async t => {
  const { database, replica } = await twoReplicas(t)
  const herd = () => together(1000, nth => replica(nth).claim('run-0', 0, { lease_seconds: 60 }))
  const born = await herd()
  await endLeases(database)
  const takenOver = await herd()
  t.strictSame([born, takenOver].map(grantsTold), ['1', '1'])
  t.strictSame(await held(database, 1), [grantOf(takenOver)])
})

t.test('invariant 1: of 64 claims of an expired lease exactly one takes over', async t => {
  const { database, replica } = await twoReplicas(t)
  const first = await rounds(ROUNDS, round =>
    replica(round).claim(`run-${round}`, 0, { lease_seconds: 60 }),
  )
  await endLeases(database)
  const told = await rounds(
    ROUNDS,
    round => together(CALLERS, nth => replica(nth).claim(`run-${round}`, 0, { lease_seconds: 60 })),
    { abreast: 4 },
  )
  t.strictSame(tally(told.map(grantsTold)), { '1': ROUNDS })
  const rows = await held(database, ROUNDS)
  t.strictSame(rows, told.map(grantOf), 'the rows bear what was told')
  t.strictSame(tally(rows.map(({ attempt }) => String(attempt))), { '2': ROUNDS })
  t.equal(
    new Set([...first.map(({ body }) => body.token), ...rows.map(({ token }) => token)]).size,
    ROUNDS * 2,
    'no token is repeated',
  )
})

t.test('invariant 1: of 64 connections one is granted, at birth and at lease end', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, CALLERS)
  const race = (round: number) =>
    together(CALLERS, nth => caller(nth).ask(statements.claim, claimOf(`run-${round}`)))

  const born = await rounds(DIRECT_ROUNDS, race)
  t.strictSame(tally(born.map(grants)), { '1': DIRECT_ROUNDS })
  t.strictSame(await held(database, DIRECT_ROUNDS), born.map(grant), 'the rows bear what was told')

  await endLeases(database)
  const takenOver = await rounds(DIRECT_ROUNDS, race)
  t.strictSame(tally(takenOver.map(grants)), { '1': DIRECT_ROUNDS })
  t.strictSame(tally([...born, ...takenOver].flat().map(({ outcome }) => outcome)), {
    granted: 2 * DIRECT_ROUNDS,
    in_progress: 2 * DIRECT_ROUNDS * (CALLERS - 1),
  })
  t.strictSame(await held(database, DIRECT_ROUNDS), takenOver.map(grant))
  t.strictSame(
    tally(takenOver.map(answers => String(grant(answers).attempt))),
    { '2': DIRECT_ROUNDS },
    'each takeover is the second attempt',
  )
})

t.test('invariant 1: claims that all saw the batch free still get one grant', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 16)
  const told = await rounds(FEW, round => {
    const execution = `run-${round}`
    const claimBy = (nth: number) => caller(nth).ask(statements.claim, claimOf(execution))
    return behindBatch(database, 16, claimBy, execution)
  })
  t.strictSame(tally(told.map(grants)), { '1': FEW })
  t.strictSame(await held(database, FEW), told.map(grant))
})

t.test('a claim without its verdict is caught', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 4)
  const guardless = mutant(statements.claim, [
    `batch.attempt < coalesce(batch.max_attempts, 2147483647)
          and (
            batch.state = 'released'
            or (batch.state = 'claimed' and batch_lease_is_over(batch.lease_expires_at, batch.last_seen_at))
          ) as free`,
    'true as free',
  ])
  const claimBy = (nth: number) => caller(nth).ask(guardless, claimOf('run'))
  t.equal(grants(await behindBatch(database, 4, claimBy, 'run')), '4')
})

t.test('invariant 6: one claim sent by three connections at once has one effect', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 3)
  const sameThrice = (round: number) => {
    const same = claimOf(`run-${round}`)
    return together(3, nth => caller(nth).ask(statements.claim, same))
  }

  for (const attempt of [1, 2]) {
    const told = await rounds(100, sameThrice)
    t.strictSame(tally(told.map(grants)), { '3': 100 }, 'three equal answers')
    t.strictSame(tally(told.map(answers => String(distinct(answers)))), { '1': 100 })
    const rows = await held(database, 100)
    t.strictSame(rows, told.map(grant))
    t.strictSame(tally(rows.map(row => String(row.attempt))), { [attempt]: 100 })
    await endLeases(database)
  }
})

t.test('invariant 6: one Idempotency-Key from 16 callers gets one token', async t => {
  const { database, replica } = await twoReplicas(t)
  const race = (round: number) =>
    together(16, nth => replica(nth).claim(`run-${round}`, 0, { lease_seconds: 60 }, 'key'))

  for (const attempt of [1, 2]) {
    const told = await rounds(FEW, race)
    t.strictSame(tally(told.flat().map(({ body }) => body.outcome)), { granted: 16 * FEW })
    t.strictSame(
      tally(told.map(replies => String(new Set(replies.map(({ body }) => body.token)).size))),
      { '1': FEW },
    )
    t.strictSame(
      tally(told.map(replies => String(replies.filter(({ body }) => body.replayed).length))),
      { '15': FEW },
    )
    t.strictSame(await held(database, FEW), told.map(grantOf))
    t.strictSame(tally(told.map(replies => String(grantOf(replies).attempt))), { [attempt]: FEW })
    await endLeases(database)
  }
})

t.test('invariant 1: at lease end the old key and 15 others get one token', async t => {
  const { database, replica } = await twoReplicas(t)
  const first = await rounds(FEW, round =>
    replica(0).claim(`run-${round}`, 0, { lease_seconds: 60 }, 'key-0'),
  )
  await endLeases(database)
  const told = await rounds(FEW, round =>
    together(16, nth => replica(nth).claim(`run-${round}`, 0, { lease_seconds: 60 }, `key-${nth}`)),
  )
  t.strictSame(tally(told.map(grantsTold)), { '1': FEW })
  t.strictSame(await held(database, FEW), told.map(grantOf))
  t.ok(told.every((replies, round) => grantOf(replies).token !== first[round]!.body.token))
})

t.test('a batch is granted max_attempts times, however many ask', async t => {
  const { database, replica } = await twoReplicas(t)
  await together(FEW, round => replica(0).enqueue(`run-${round}`, { total: 1, max_attempts: 2 }))
  const race = (round: number) =>
    together(16, nth => replica(nth).claim(`run-${round}`, 0, { lease_seconds: 60 }))

  const first = await rounds(FEW, race)
  await endLeases(database)
  const second = await rounds(FEW, race)
  await endLeases(database)
  const third = await rounds(FEW, race)
  t.strictSame(tally(first.map(grantsTold)), { '1': FEW })
  t.strictSame(tally(second.map(grantsTold)), { '1': FEW })
  t.strictSame(tally(third.flat().map(({ body }) => `${body.outcome} ${body.attempt}`)), {
    'exhausted 2': 16 * FEW,
  })
  t.strictSame(await held(database, FEW), second.map(grantOf))
})

t.test('invariant 1: bulk claims that overlap grant each batch once', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 8)
  const executions = Array.from({ length: 5 }, (_, nth) => `bulk-${nth}`)
  const told = await rounds(FEW, async round => {
    const asks = executions.flatMap(execution =>
      Array.from({ length: 12 }, (_, index) => ({ execution: `${execution}-${round}`, index })),
    )
    const answers = await together(8, async nth => {
      const shuffled = asks.toSorted(() => Math.random() - 0.5)
      // One index twice in the run: two asks for one batch have one winner.
      const run = [...shuffled, shuffled[0]!]
      return caller(nth).askAll(
        statements.claim,
        run.map(({ execution, index }) => claimOf(execution, index)),
      )
    })
    return answers.flat()
  })
  t.strictSame(tally(told.map(grants)), { '60': FEW })
  t.strictSame(
    await database.query(`select count(*)::integer, max(attempt), count(distinct token)::integer as tokens
    from batches`),
    [{ count: 60 * FEW, max: 1, tokens: 60 * FEW }],
  )
})

interface Grant {
  token: string
  attempt: number
}

/** The grants of the batches 0 of the executions run-0, run-1 …, as the rows have them. */
async function held(database: Database, count: number): Promise<Grant[]> {
  const rows = await database.query<Grant & { execution_id: string }>(
    `select execution_id, token, attempt from batches where state = 'claimed'`,
  )
  const byExecution = new Map(rows.map(({ execution_id, ...granted }) => [execution_id, granted]))
  return Array.from({ length: count }, (_, round) => byExecution.get(`run-${round}`)!)
}

/** All claim while a foreign transaction is about to write the batch, and then does not. */
function behindBatch(
  database: Database,
  count: number,
  claimBy: (nth: number) => Promise<Answer>,
  execution: string,
): Promise<Answer[]> {
  const lock = `insert into batches (execution_id, generation, batch_index, state, attempt, token)
    values ('${execution}', 0, 0, 'claimed', 1, '0.1.foreign')`
  return behindLock(database, lock, count, () => together(count, claimBy))
}

function grants(answers: Answer[]): string {
  return String(answers.filter(({ outcome }) => outcome === 'granted').length)
}

function grant(answers: Answer[]): Grant {
  const { token = '', attempt = 0 } =
    answers.find(({ outcome }) => outcome === 'granted')?.reply ?? {}
  return { token, attempt }
}

function distinct(answers: Answer[]): number {
  return new Set(answers.map(answer => JSON.stringify(answer))).size
}

function grantsTold(replies: Reply[]): string {
  return String(replies.filter(({ body }) => body.outcome === 'granted').length)
}

function grantOf(replies: Reply[]): Grant {
  const { token, attempt } = replies.find(({ body }) => body.outcome === 'granted')!.body
  return { token, attempt }
}
