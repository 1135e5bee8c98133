import t from 'tap'
import { freshDatabase } from '../fixtures/database.ts'
import {
  ask,
  barrierOf,
  behindLock,
  callers,
  claimOf,
  decrementOf,
  lockOf,
  repeatAgain,
  rounds,
  states,
  statements,
  tally,
  times,
  together,
  twoReplicas,
} from '../fixtures/gate.ts'

const replace = { conflict_policy: 'replace' }
/** For the races whose size is not promised; `npm run test:long` runs ten times as many rounds. */
const FEW = times(10)

t.test('of 16 first enqueues with one content one creates, and the others find it', async t => {
  const { database, replica } = await twoReplicas(t)
  const told = await rounds(
    FEW,
    round => together(16, nth => replica(nth).enqueue(`run-${round}`, { total: 3 })),
    { abreast: 2 },
  )
  t.strictSame(tally(told.flat().map(({ status, body }) => `${status} ${body.outcome}`)), {
    '201 created': FEW,
    '200 existing': 15 * FEW,
  })
  t.strictSame(tally(told.map(replies => String(replies.filter(createdIt).length))), { '1': FEW })
  t.strictSame(await states(database), { 'open 0 none, 0 recorded': FEW })
})

t.test('of first enqueues with different content one wins, the others are refused', async t => {
  const { database, replica } = await twoReplicas(t)
  const told = await rounds(FEW, round =>
    together(16, nth =>
      replica(nth).enqueue(`run-${round}`, {
        total: nth % 2 === 0 ? 3 : 4,
        conflict_policy: nth % 4 < 2 ? 'use_existing' : 'fail',
      }),
    ),
  )
  const winners = told.map(replies => replies.find(createdIt)!.body.total)
  t.strictSame(tally(told.map(replies => String(replies.filter(createdIt).length))), { '1': FEW })
  const losers = tally(
    told.flatMap((replies, round) =>
      replies.map(({ body }, nth) => {
        if (body.outcome === 'created') return 'created'
        if (nth % 4 >= 2) return body.code === 'barrier_exists' ? 'refused' : body.code
        const same = (nth % 2 === 0 ? 3 : 4) === winners[round]
        return (same ? body.outcome === 'existing' : body.code === 'enqueue_mismatch')
          ? 'told the truth'
          : `${body.code} ${body.outcome}`
      }),
    ),
  )
  t.strictSame(Object.keys(losers).toSorted(), ['created', 'refused', 'told the truth'])
  t.strictSame(
    await database.query(`select total from barriers order by substr(execution_id, 5)::integer`),
    winners.map(total => ({ total })),
  )
})

t.test('16 replaces without a key are 16 generations, with one key they are one', async t => {
  const { database, replica } = await twoReplicas(t)
  const told = await rounds(10, async round => {
    await together(2, nth =>
      replica(0).enqueue(`${nth === 0 ? 'each' : 'key'}-${round}`, { total: 1 }),
    )
    return [
      await together(16, nth => replica(nth).enqueue(`each-${round}`, { total: 2, ...replace })),
      await together(16, nth =>
        replica(nth).enqueue(`key-${round}`, { total: 2, ...replace }, 'k'),
      ),
    ]
  })
  t.strictSame(
    told.map(([each]) => each!.map(({ body }) => body.generation).toSorted((a, b) => a - b)),
    told.map(() => Array.from({ length: 16 }, (_, nth) => nth + 2)),
  )
  t.strictSame(
    tally(told.flatMap(([, key]) => key!.map(({ body }) => `${body.outcome} ${body.generation}`))),
    {
      'created 2': 10,
      'existing 2': 150,
    },
  )
  t.strictSame(
    await database.query(
      `select split_part(execution_id, '-', 1) as name, generation, count(*)::integer
      from barriers group by 1, 2 order by 1`,
    ),
    [
      { name: 'each', generation: 17, count: 10 },
      { name: 'key', generation: 2, count: 10 },
    ],
  )
})

t.test('invariant 6: one enqueue or replace sent three times at once has one effect', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 3)
  const thrice = (asked: object) =>
    together(3, nth => repeatAgain(caller(nth), asked, statements.enqueue))
  const told = await rounds(FEW, async round => {
    const created = await thrice(barrierOf(`run-${round}`, 3))
    const again = barrierOf(`run-${round}`, 4, replace)
    const replaced =
      round % 2 === 0
        ? await thrice(again)
        : await behindLock(database, lockOf(`run-${round}`), 3, () => thrice(again))
    return { created, replaced }
  })
  t.strictSame(tally(told.flatMap(({ created }) => created.map(creation))), {
    'created 1': 3 * FEW,
  })
  t.strictSame(tally(told.flatMap(({ replaced }) => replaced.map(creation))), {
    'created 2': 3 * FEW,
  })
  t.strictSame(
    await database.query('select generation, total, count(*)::integer from barriers group by 1, 2'),
    [{ generation: 2, total: 4, count: FEW }],
  )
})

t.test('a replaced generation is fenced: its tokens, its messages and its abort', async t => {
  const { database, replica } = await twoReplicas(t)
  const told = await rounds(
    FEW,
    async round => {
      const execution = `run-${round}`
      const old = { generation: 1 }
      await replica(0).enqueue(execution, { total: 6, callback: { queue: 'done' } })
      const granted = await together(3, index => replica(index).claim(execution, index))
      const [replaced, ...rest] = await Promise.all([
        replica(round).enqueue(execution, { total: 6, callback: { queue: 'done' }, ...replace }),
        ...granted.map(({ body }, index) =>
          replica(index).decrement(execution, { batch_index: index, token: body.token }),
        ),
        ...[3, 4, 5].map(index =>
          replica(index).decrement(execution, { batch_index: index, ...old }),
        ),
        replica(round + 1).abort(execution, { reason: 'Old.', ...old }),
        replica(round).claim(execution, 0, old),
      ])
      // The new run counts its own.
      const counted = await together(6, index =>
        replica(index).decrement(execution, { batch_index: index, generation: 2 }),
      )
      return { replaced, rest, counted }
    },
    { abreast: 2 },
  )
  t.strictSame(
    tally(told.map(({ replaced }) => `${replaced.body.outcome} ${replaced.body.generation}`)),
    {
      'created 2': FEW,
    },
  )
  t.strictSame(tally(told.flatMap(({ counted }) => counted.map(({ body }) => body.outcome))), {
    recorded: 6 * FEW,
  })
  t.strictSame(await states(database), { 'completed 6 due, 6 recorded': FEW })

  // What the old run was told before it was replaced is what the replace ended.
  const ended = told.map(({ replaced }) => replaced.body.replaced.remaining)
  const before = told.map(
    ({ rest }) => 6 - rest.filter(({ body }) => body.outcome === 'recorded').length,
  )
  t.strictSame(ended, before)
  const codes = tally(
    told.flatMap(({ rest }) => rest.slice(0, 6).map(({ body }) => body.code ?? body.outcome)),
  )
  t.strictSame(
    Object.keys(codes).filter(
      code => !['recorded', 'stale_token', 'stale_generation', 'barrier_closed'].includes(code),
    ),
    [],
    JSON.stringify(codes),
  )
})

t.test('invariant 1: claims, enqueue, replace and abort: one grant a generation', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 7)
  const told = await rounds(FEW, async round => {
    const execution = `run-${round}`
    const answers = await Promise.all([
      ...Array.from({ length: 4 }, (_, nth) =>
        caller(nth).ask(statements.claim, claimOf(execution)),
      ),
      repeatAgain(caller(4), barrierOf(execution, 1), statements.enqueue),
      repeatAgain(caller(5), barrierOf(execution, 1, replace), statements.enqueue),
      caller(6).ask(statements.abort, ask(execution, { reason: 'Enough.' })),
    ])
    return answers.slice(0, 4).filter(({ outcome }) => outcome === 'granted')
  })
  const tokens = told.map(grants => grants.map(({ reply }) => reply?.token ?? ''))
  const perGeneration = tokens.flatMap(grants =>
    Object.values(tally(grants.map(token => token.split('.')[0]))),
  )
  t.strictSame(tally(perGeneration.map(String)), { '1': tokens.flat().length })
  const rows = await database.query<{ token: string }>('select token from batches')
  t.strictSame(rows.map(({ token }) => token).toSorted(), tokens.flat().toSorted())
})

t.test('invariant 6: decrements that waited for a replace are told the truth', async t => {
  const database = await freshDatabase(t)
  const caller = await callers(database, 5)
  const told = await rounds(FEW, async round => {
    const execution = `run-${round}`
    await caller(0).ask(statements.enqueue, barrierOf(execution, 4))
    const { reply } = await caller(0).ask(statements.claim, claimOf(execution))
    return behindLock(database, lockOf(execution), 5, async untilWaiting => {
      const again = repeatAgain(caller(0), barrierOf(execution, 4, replace), statements.enqueue)
      await untilWaiting(1)
      return Promise.all([
        again,
        repeatAgain(caller(1), decrementOf(execution, 0, { token: reply?.token })),
        repeatAgain(caller(2), decrementOf(execution, 1, { generation: 1 })),
        repeatAgain(caller(3), decrementOf(execution, 2)),
        caller(4).ask(statements.abort, ask(execution, { reason: 'Old.', generation: 1 })),
      ])
    })
  })
  t.strictSame(tally(told.map(answers => answers.map(({ outcome }) => outcome).join(' '))), {
    'created stale_generation stale_generation recorded stale_generation': FEW,
  })
  t.strictSame(await states(database), { 'open 1 none, 1 recorded': FEW })
})

function createdIt({ body }: { body: { outcome?: string } }): boolean {
  return body.outcome === 'created'
}

function creation({
  outcome,
  generation,
}: {
  outcome: string
  generation?: number | null
}): string {
  return `${outcome} ${generation}`
}
