import t from 'tap'
import { Client } from 'pg'
import { endLeases, rounds, tally, times, together, twoReplicas } from '../fixtures/gate.ts'

const TOTAL = 30

/** Every way in which a snapshot could be untrue, over all barriers at once. */
const untruths = `
  select execution_id, generation, state, succeeded, failed, total, callback_state
  from barriers
  cross join lateral (
    select
      count(*) filter (where batches.state = 'succeeded') as succeeded_rows,
      count(*) filter (where batches.state = 'failed') as failed_rows
    from batches
    where batches.namespace = barriers.namespace
      and batches.execution_id = barriers.execution_id
      and batches.generation = barriers.generation
  ) as stored
  where succeeded <> succeeded_rows
    or failed <> failed_rows
    or succeeded + failed > total
    or (state = 'completed') <> (succeeded + failed = total and failed <= tolerated_failure_count)
    or (callback_state = 'due') <> (state = any (callback_events))
    or (callback_id is null) = (state = any (callback_events))`

t.test('invariants 2, 3 and 4 hold in every snapshot of a storm', async t => {
  const { database, replica } = await twoReplicas(t)
  const observer = new Client({ connectionString: database.url })
  await observer.connect()
  t.teardown(() => observer.end())

  const over = new AbortController()
  const snapshots: unknown[][] = []
  const closings = new Map<string, string>()
  const reopened: string[] = []
  const watch = async () => {
    while (!over.signal.aborted) {
      const { rows } = await observer.query(untruths)
      snapshots.push(rows)
      const { rows: closed } = await observer.query<{ key: string; state: string }>(
        `select execution_id || ' ' || generation as key, state || closed_at as state
        from barriers where state <> 'open'`,
      )
      for (const { key, state } of closed) {
        if ((closings.get(key) ?? state) !== state) reopened.push(key)
        closings.set(key, state)
      }
    }
  }

  const storm = async () => {
    await rounds(times(12), storming, { abreast: 4 })
    over.abort()
  }
  const storming = async (round: number) => {
    const execution = `run-${round}`
    const callback = { queue: 'done', events: round % 2 === 0 ? ['completed'] : ['aborted'] }
    const wish = { total: TOTAL, tolerated_failure_count: 2, callback }
    await replica(round).enqueue(execution, wish)
    const messages = Array.from({ length: TOTAL * 3 }, (_, nth) => nth % TOTAL)
    const replies = await together(messages.length, async nth => {
      const batch_index = messages[nth]!
      const { body } = await replica(nth).claim(execution, batch_index, { lease_seconds: 60 })
      if (nth === 40 && round % 3 === 1) await replica(nth).abort(execution)
      if (nth === 50 && round % 3 === 2)
        await replica(nth).enqueue(execution, { ...wish, conflict_policy: 'replace' })
      if (nth === 60) await endLeases(database)
      const status = nth % 29 === 0 ? 'failed' : 'succeeded'
      const token = nth % 5 === 0 ? {} : { token: body.token }
      return replica(nth + 1).decrement(execution, { batch_index, status, ...token })
    })
    const barrier = await replica(round).barrier(execution)
    return [...replies, barrier]
  }

  await Promise.all([watch(), storm()])
  t.ok(snapshots.length > 20, `${snapshots.length} snapshots`)
  t.strictSame(snapshots.flat(), [])
  t.strictSame(reopened, [], 'what is closed stays as it was closed')
  const ends = await database.query<{ state: string }>('select state from barriers')
  const states = tally(ends.map(({ state }) => state))
  t.ok(states['completed'] && states['aborted'], JSON.stringify(states))
})

t.test('invariant 2: succeeded + failed + remaining is total in every reply', async t => {
  const { replica } = await twoReplicas(t)
  await replica(0).enqueue('run', { total: 200, tolerated_failure_count: 200 })
  const [counted, read] = await Promise.all([
    together(200, nth =>
      replica(nth).decrement('run', {
        batch_index: nth,
        status: nth % 3 === 0 ? 'failed' : 'succeeded',
      }),
    ),
    rounds(30, nth => replica(nth).barrier('run')),
  ])
  const sums = [...counted, ...read].map(
    ({ body }) => body.succeeded + body.failed + body.remaining,
  )
  t.strictSame(tally(sums.map(String)), { '200': 230 })
  t.match(await replica(0).barrier('run'), {
    body: { state: 'completed', succeeded: 133, failed: 67, remaining: 0 },
  })
})
