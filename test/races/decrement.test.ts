import t from 'tap'
import type { Statement } from '../../src/database/statement.ts'
import { freshDatabase } from '../fixtures/database.ts'
import {
  type Answer,
  ask,
  barrierOf,
  behindLock,
  callers,
  decrementOf,
  lockOf,
  mutant,
  repeatAgain,
  rounds,
  states,
  statements,
  tally,
  times,
  together,
  twoReplicas,
} from '../fixtures/gate.ts'
import type { Service } from '../fixtures/service.ts'

const callback = { queue: 'done' }
/** Executions that do not meet share the runs of a replica, as they do in production. */
const abreast = 10
/** For the races whose size is not promised; `npm run test:long` runs ten times as many rounds. */
const FEW = times(10)

t.test('invariant 2: of 16 duplicates of the only batch one is recorded', async t => {
  const { database, replica } = await twoReplicas(t)
  const ROUNDS = times(300)
  await barriers(replica(0), ROUNDS, { total: 1, callback })
  const told = await rounds(
    ROUNDS,
    round => together(16, nth => replica(nth).decrement(`run-${round}`, { batch_index: 0 })),
    { abreast },
  )
  t.strictSame(tally(told.flat().map(({ body }) => `${body.outcome} ${body.state}`)), {
    'recorded completed': ROUNDS,
    'duplicate completed': 15 * ROUNDS,
  })
  t.strictSame(closers(told.map(replies => replies.map(({ body }) => body))), { '1': ROUNDS })
  t.strictSame(await states(database), { 'completed 1 due, 1 recorded': ROUNDS })
})

t.test('invariant 6: 16 duplicates over 16 connections are told the truth', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 16)
  await rounds(FEW, round => caller(0).ask(statements.enqueue, barrierOf(`run-${round}`, 1)))
  const race = (round: number) =>
    together(16, nth => repeatAgain(caller(nth), decrementOf(`run-${round}`)))

  // In every other round all of them wait, with a snapshot that is older than the record.
  const told = await rounds(FEW, round =>
    round % 2 === 0
      ? behindLock(database, lockOf(`run-${round}`), 16, () => race(round))
      : race(round),
  )
  t.strictSame(tally(told.flat().map(({ outcome, state }) => `${outcome} ${state}`)), {
    'recorded completed': FEW,
    'duplicate completed': 15 * FEW,
  })
  t.strictSame(closers(told), { '1': FEW })
  t.strictSame(await states(database), { 'completed 1 due, 1 recorded': FEW })
})

t.test('a decrement that answers from its snapshot is caught', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 4)
  const hasty = mutant(statements.decrement, [
    `when seen_ask.generation_before is distinct from seen_ask.generation
        or (seen_ask.state_before = 'open' and seen_ask.barrier_state <> 'open') then 'again'`,
    `when false then 'again'`,
  ])
  await caller(0).ask(statements.enqueue, barrierOf('run', 1))
  const told = await behindLock(database, lockOf('run'), 4, () =>
    together(4, nth => repeatAgain(caller(nth), decrementOf('run'), hasty)),
  )
  t.strictSame(tally(told.map(({ outcome }) => outcome)), { recorded: 1, barrier_closed: 3 })
})

t.test('a decrement that counts rows instead of its own nonces is caught', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 4)
  const forgetful = mutant(statements.decrement, [
    'where written_batch.recorded_nonce = seen_ask.nonce and written_batch.recorded_at = seen_ask.moment',
    'where true',
  ])
  await caller(0).ask(statements.enqueue, barrierOf('run', 8))
  await behindLock(database, lockOf('run'), 4, () =>
    together(4, nth => repeatAgain(caller(nth), decrementOf('run'), forgetful)),
  )
  t.strictSame(await states(database), { 'open 4 none, 1 recorded': 1 })
})

t.test('invariant 2: duplicates of one of two batches count once', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 16)
  await rounds(10, round => caller(0).ask(statements.enqueue, barrierOf(`run-${round}`, 2)))
  const told = await rounds(10, round =>
    behindLock(database, lockOf(`run-${round}`), 16, () =>
      together(16, nth => repeatAgain(caller(nth), decrementOf(`run-${round}`))),
    ),
  )
  t.strictSame(tally(told.flat().map(({ outcome, state }) => `${outcome} ${state}`)), {
    'recorded open': 10,
    'duplicate open': 15 * 10,
  })
  t.strictSame(await states(database), { 'open 1 none, 1 recorded': 10 })
})

t.test('invariant 3: the last decrements at once close the barrier once', async t => {
  const { database, replica } = await twoReplicas(t)
  const ROUNDS = times(500)
  await barriers(replica(0), ROUNDS, { total: 4, callback })
  const told = await rounds(
    ROUNDS,
    round => together(4, nth => replica(nth).decrement(`run-${round}`, { batch_index: nth })),
    { abreast },
  )
  t.strictSame(tally(told.flat().map(({ body }) => body.outcome)), { recorded: 4 * ROUNDS })
  t.strictSame(closers(told.map(replies => replies.map(({ body }) => body))), { '1': ROUNDS })
  t.ok(told.every(replies => replies.some(({ body }) => body.remaining === 0)))
  t.strictSame(await states(database), { 'completed 4 due, 4 recorded': ROUNDS })
})

t.test('invariant 4: an abort and the last decrement have one winner', async t => {
  const ROUNDS = times(500)
  const { database, replica } = await twoReplicas(t)
  await barriers(replica(0), ROUNDS, { total: 1, callback })
  const race = async (round: number) => {
    const execution = `run-${round}`
    const acts = [
      () => replica(round).decrement(execution, { batch_index: 0 }),
      () => replica(round + 1).abort(execution, { reason: 'Enough.' }),
    ]
    // Who begins changes by the round.
    const [first, second] = round % 2 === 0 ? acts : acts.toReversed()
    const replies = await Promise.all([first!(), second!()])
    const outcomes = replies.map(({ body }) => String(body.outcome ?? body.code))
    return outcomes.toSorted().join(' ')
  }
  const told = tally(await rounds(ROUNDS, race, { abreast }))
  const completed = told['already_closed recorded'] ?? 0
  const aborted = told['aborted barrier_closed'] ?? 0
  t.equal(completed + aborted, ROUNDS, JSON.stringify(told))
  t.ok(completed > 0 && aborted > 0, `${completed} completed, ${aborted} aborted`)
  t.strictSame(await states(database), {
    'completed 1 due, 1 recorded': completed,
    'aborted 0 none, 0 recorded': aborted,
  })
})

t.test('invariant 2: copies of one run that all waited for the barrier count once', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 3)
  const race = async (execution: string, sql: Statement) => {
    // It stays open, so that a late copy finds no closed barrier to stop it.
    await caller(0).ask(statements.enqueue, barrierOf(execution, 9))
    const asked = decrementOf(execution)
    const answers = await behindLock(database, lockOf(execution), 3, () =>
      together(3, nth => caller(nth).ask(sql, asked, true)),
    )
    const [row] = await database.query<{ succeeded: number }>(
      'select succeeded from barriers where execution_id = $1',
      [execution],
    )
    return { outcomes: tally(answers.map(({ outcome }) => outcome)), ...row }
  }
  for (const told of await rounds(times(40), round => race(`run-${round}`, statements.decrement)))
    t.strictSame(told, { outcomes: { recorded: 3 }, succeeded: 1 })

  const counting = mutant(statements.decrement, [
    ' and written_batch.recorded_at = seen_ask.moment',
    '',
  ])
  t.equal((await race('mutant', counting)).succeeded, 3, 'by the nonce alone each would count')
})

/** Each order as often as the other. */
const PAIRS = times(5)

t.test('invariant 4: who waited for the barrier first wins, abort or decrement', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 2)
  const told = await rounds(2 * PAIRS, async round => {
    const execution = `run-${round}`
    await caller(0).ask(statements.enqueue, barrierOf(execution, 1))
    const acts = [
      () => repeatAgain(caller(0), decrementOf(execution)),
      () => caller(1).ask(statements.abort, ask(execution, { reason: 'Enough.' })),
    ]
    const [first, second] = round % 2 === 0 ? acts : acts.toReversed()
    const answers = await behindLock(database, lockOf(execution), 2, async untilWaiting => {
      const one = first!()
      await untilWaiting(1)
      return Promise.all([one, second!()])
    })
    return answers.map(({ outcome }) => outcome).join(' ')
  })
  t.strictSame(tally(told), {
    'recorded already_closed': PAIRS,
    'aborted barrier_closed': PAIRS,
  })
  t.strictSame(await states(database), {
    'completed 1 due, 1 recorded': PAIRS,
    'aborted 0 none, 0 recorded': PAIRS,
  })
})

t.test('invariant 6: one decrement or abort sent three times at once has one effect', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 3)
  const told = await rounds(FEW, async round => {
    await caller(0).ask(statements.enqueue, barrierOf(`run-${round}`, 1))
    await caller(0).ask(statements.enqueue, barrierOf(`abort-${round}`, 1))
    const decrement = decrementOf(`run-${round}`)
    const abort = ask(`abort-${round}`, { reason: 'Enough.' })
    return [
      await together(3, nth => repeatAgain(caller(nth), decrement)),
      await together(3, nth => caller(nth).ask(statements.abort, abort)),
    ]
  })
  const outcomes = told.flat(2).map(({ outcome, closed_by_this }) => `${outcome} ${closed_by_this}`)
  t.strictSame(tally(outcomes), { 'recorded true': 3 * FEW, 'aborted undefined': 3 * FEW })
  t.strictSame(tally(told.flat().map(distinctAnswers)), { '1': 2 * FEW })
  t.strictSame(await states(database), {
    'completed 1 due, 1 recorded': FEW,
    'aborted 0 none, 0 recorded': FEW,
  })
})

t.test('failures beyond the tolerance abort once, whoever brings them', async t => {
  const { database, replica } = await twoReplicas(t)
  const events = ['completed', 'aborted']
  const wish = { total: 4, tolerated_failure_count: 1, callback: { queue: 'done', events } }
  await barriers(replica(0), FEW, wish)
  const failed = { status: 'failed' }
  const told = await rounds(
    FEW,
    round =>
      together(4, nth => replica(nth).decrement(`run-${round}`, { batch_index: nth, ...failed })),
    { abreast },
  )
  t.strictSame(closers(told.map(replies => replies.map(({ body }) => body))), { '1': FEW })
  const recorded = told.flat().filter(({ body }) => body.outcome === 'recorded').length
  const refused = told.flat().filter(({ body }) => body.code === 'barrier_closed').length
  t.equal(recorded + refused, 4 * FEW)
  t.strictSame(
    await database.query(
      `select state, callback_state, sum(failed)::integer as failed, count(*)::integer
      from barriers group by 1, 2`,
    ),
    [{ state: 'aborted', callback_state: 'due', failed: recorded, count: FEW }],
  )
  t.strictSame(await database.query(`select count(*)::integer from batches`), [{ count: recorded }])
})

async function barriers(replica: Service, count: number, body: object): Promise<void> {
  const told = await together(count, nth => replica.enqueue(`run-${nth}`, body))
  const missing = told.find(({ status }) => status !== 201)
  if (missing) throw new Error(`A barrier of the race was not created: ${missing.text}`)
}

/** How many barriers were closed by so many of their callers. */
function closers(told: { closed_by_this?: boolean }[][]): Record<string, number> {
  return tally(
    told.map(answers => String(answers.filter(({ closed_by_this }) => closed_by_this).length)),
  )
}

function distinctAnswers(answers: Answer[]): string {
  return String(new Set(answers.map(answer => JSON.stringify(answer))).size)
}
