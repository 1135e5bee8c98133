import t from 'tap'
import type { Statement } from '../../src/database/statement.ts'
import { type Database, freshDatabase } from '../fixtures/database.ts'
import {
  type Answer,
  ask,
  barrierOf,
  behindLock,
  callers,
  claimOf,
  decrementOf,
  endLeases,
  repeatAgain,
  rounds,
  statements,
  tally,
  together,
  twoReplicas,
} from '../fixtures/gate.ts'

const ROUNDS = 50

/**
 * A worker whose lease is over against the next delivery of its batch. Left: the worker was first. Right: the takeover was.
 * Only a release leaves the batch to the other in both.
 */
const rivals: {
  name: string
  sql: Statement
  /** Without a barrier, where finish records. */
  alone: boolean
  first: string
  second: string
}[] = [
  {
    name: 'a decrement',
    sql: statements.decrement,
    alone: false,
    first: 'recorded finished',
    second: 'stale_token granted',
  },
  {
    name: 'a finish',
    sql: statements.finish,
    alone: true,
    first: 'recorded finished',
    second: 'stale_token granted',
  },
  {
    name: 'a heartbeat',
    sql: statements.heartbeat,
    alone: false,
    first: 'extended in_progress',
    second: 'stale_token granted',
  },
  {
    name: 'a release',
    sql: statements.release,
    alone: false,
    first: 'released granted',
    second: 'stale_token granted',
  },
]

for (const { name, sql, alone, first, second } of rivals) {
  t.test(`invariant 1: ${name} of a zombie and the takeover have one winner`, async t => {
    const database = await freshDatabase(t)
    const caller = await callers(database, 2)
    const tokens = await rounds(ROUNDS, async round => {
      if (!alone) await caller(0).ask(statements.enqueue, barrierOf(`run-${round}`, 1))
      return tokenIn(await caller(0).ask(statements.claim, claimOf(`run-${round}`)))
    })
    await endLeases(database)

    // Both wait for the row; who came first goes on first.
    const told = await rounds(ROUNDS, async round => {
      const execution = `run-${round}`
      const zombie = () =>
        repeatAgain(caller(0), decrementOf(execution, 0, { token: tokens[round] }), sql)
      const takeover = () => caller(1).ask(statements.claim, claimOf(execution))
      const lock = `select from batches where execution_id = '${execution}' for update`
      return behindLock(database, lock, 2, async untilWaiting => {
        const acts = round % 2 === 0 ? [zombie, takeover] : [takeover, zombie]
        const begun = acts[0]!()
        await untilWaiting(1)
        const both = await Promise.all([begun, acts[1]!()])
        return round % 2 === 0 ? both : both.toReversed()
      })
    })
    t.strictSame(tally(told.map(outcomes)), { [first]: ROUNDS / 2, [second]: ROUNDS / 2 })
    t.strictSame(await grants(database), tokensAfter(tokens, told), 'the rows bear what was told')
  })
}

t.test('invariant 1: zombies and takeovers of two replicas have one winner', async t => {
  const { database, replica } = await twoReplicas(t)
  await together(100, round => replica(0).enqueue(`run-${round}`, { total: 2 }))
  const first = await together(100, round =>
    replica(0).claim(`run-${round}`, 0, { lease_seconds: 60 }),
  )
  await endLeases(database)
  const race = async (round: number) => {
    const execution = `run-${round}`
    const acts = [
      () => replica(0).decrement(execution, { batch_index: 0, token: first[round]!.body.token }),
      () => replica(1).claim(execution, 0, { lease_seconds: 60 }),
    ]
    const begun = round % 2 === 0 ? acts : acts.toReversed()
    const both = await Promise.all(begun.map(act => act()))
    const [zombie, takeover] = round % 2 === 0 ? both : both.toReversed()
    return `${zombie!.body.outcome ?? zombie!.body.code} ${takeover!.body.outcome}`
  }
  const told = tally(await rounds(100, race, { abreast: 5 }))
  const recorded = told['recorded finished'] ?? 0
  const fenced = told['stale_token granted'] ?? 0
  t.equal(recorded + fenced, 100, JSON.stringify(told))
  t.ok(recorded > 0 && fenced > 0, `${recorded} recorded, ${fenced} fenced`)
  t.strictSame(
    await database.query(
      `select sum(succeeded)::integer as counted,
        (select count(*)::integer from batches where state = 'succeeded') as recorded,
        (select count(*)::integer from batches where state = 'claimed' and attempt = 2) as taken_over
      from barriers`,
    ),
    [{ counted: recorded, recorded, taken_over: fenced }],
  )
})

t.test('invariant 1: a claim that meets a clear is granted before it or after', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 2)
  const tokens = await rounds(ROUNDS, async round =>
    tokenIn(await caller(0).ask(statements.claim, claimOf(`run-${round}`))),
  )
  await endLeases(database)
  const told = await rounds(ROUNDS, round => {
    const execution = `run-${round}`
    const lock = `select from batches where execution_id = '${execution}' for update`
    return behindLock(database, lock, 2, async untilWaiting => {
      const rivalry = [
        () => caller(0).ask(statements.clear, ask(execution)),
        () => caller(1).ask(statements.claim, claimOf(execution)),
      ]
      const acts = round % 2 === 0 ? rivalry : rivalry.toReversed()
      const begun = acts[0]!()
      await untilWaiting(1)
      const both = await Promise.all([begun, acts[1]!()])
      return round % 2 === 0 ? both : both.toReversed()
    })
  })
  // Cleared first: a fresh grant that stays. Claimed first: a takeover that is cleared.
  t.strictSame(
    tally(told.map(([clear, claim]) => `${outcomes([clear!, claim!])} ${claim!.reply?.attempt}`)),
    { 'cleared granted 1': ROUNDS / 2, 'cleared granted 2': ROUNDS / 2 },
  )
  const granted = told.map(([, claim]) => tokenIn(claim!))
  t.equal(new Set([...tokens, ...granted]).size, 2 * ROUNDS, 'no token is repeated')
  t.strictSame(
    await grants(database),
    granted.filter((_, round) => round % 2 === 0).toSorted(),
    'what was granted after the clear is there',
  )
})

function outcomes(answers: Answer[]): string {
  return answers.map(({ outcome }) => outcome).join(' ')
}

function tokenIn({ reply }: Answer): string {
  return reply?.token ?? ''
}

/** The newest token of each batch, by what the callers were told. */
function tokensAfter(before: string[], told: Answer[][]): string[] {
  return before.map((token, round) => tokenIn(told[round]![1]!) || token).toSorted()
}

async function grants(database: Database): Promise<string[]> {
  const rows = await database.query<{ token: string }>('select token from batches')
  return rows.map(({ token }) => token).toSorted()
}
