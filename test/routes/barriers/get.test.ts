import { readFile } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { clonedDatabase } from '../../fixtures/database.ts'
import { type Service, service } from '../../fixtures/service.ts'

const s = await service(t)
const other = await service(t, { database: s.database })

const notFound = {
  type: 'urn:rollcall:problem:execution_not_found',
  title: 'This execution has no barrier, or none of this generation.',
  status: 404,
  detail: 'This execution has no barrier, or none of this generation.',
  code: 'execution_not_found',
}

/** A reply and how many seconds it took. */
async function timed<Reply>(reply: Promise<Reply>): Promise<[reply: Reply, seconds: number]> {
  const start = performance.now()
  return [await reply, (performance.now() - start) / 1000]
}

/** Begins to wait, and resolves once the service has read the barrier and found it open. */
async function waitFor(on: Service, execution: string, query = '?wait_seconds=50') {
  const waiting = timed(on.barrier(execution, query))
  // Reads share runs in the order they came, so this one is answered after the first read of the wait.
  await on.barrier(execution)
  await on.barrier(execution)
  return waiting
}

t.test('a barrier tells its state and counts, from its one row', async t => {
  await s.enqueue('whole', {
    total: 4,
    tolerated_failure_count: 1,
    metadata: { a: 1 },
    callback: { queue: 'q' },
  })
  await s.decrement('whole', { batch_index: 0 })
  await s.decrement('whole', { batch_index: 1, status: 'failed' })
  const { status, body } = await s.barrier('whole')
  t.equal(status, 200)
  t.strictSame(body, {
    execution_id: 'whole',
    generation: 1,
    state: 'open',
    reason: null,
    total: 4,
    succeeded: 1,
    failed: 1,
    remaining: 2,
    created_at: body.created_at,
    last_progress_at: body.last_progress_at,
    expires_at: body.expires_at,
    closed_at: null,
    metadata: { a: 1 },
    callback: { state: 'none' },
  })
  for (const moment of [body.created_at, body.last_progress_at, body.expires_at]) {
    t.match(moment, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  }
  t.ok(body.last_progress_at > body.created_at)
  await s.decrement('whole', { batch_index: 2 })
  await s.decrement('whole', { batch_index: 3 })
  const closed = (await s.barrier('whole')).body
  t.match(closed, { state: 'completed', remaining: 0, callback: { state: 'due' } })
  t.ok(closed.closed_at >= body.last_progress_at)
})

t.test('an unknown execution or generation is not found', async t => {
  await s.claim('unknown', 0)
  const absent = await s.barrier('unknown')
  t.equal(absent.status, 404)
  t.strictSame(absent.body, notFound)
  t.equal((await s.barrier('unknown', '?generation=1')).status, 404)
  await s.enqueue('unknown', { total: 1 })
  const newer = await s.barrier('unknown', '?generation=2')
  t.equal(newer.status, 404)
  t.match(newer.body, notFound)
  t.equal((await s.barrier('unknown', '?generation=1')).status, 200)
})

t.test('a generation that was replaced is stale', async t => {
  await s.enqueue('stale', { total: 1 })
  await s.enqueue('stale', { total: 1, conflict_policy: 'replace' })
  const { status, body } = await s.barrier('stale', '?generation=1')
  t.equal(status, 409)
  t.match(body, { code: 'stale_generation', generation: 2 })
})

t.test('detail=claims tells who holds what, longest first', async t => {
  await s.enqueue('detail', { total: 30 })
  await s.decrement('detail', { batch_index: 29 })
  await s.claim('detail', 5, { owner: 'first', lease_seconds: 600 })
  await s.claim('detail', 3, { owner: 'second', lease_seconds: 600 })
  await s.claim('detail', 4)
  const { body: released } = await s.claim('detail', 6)
  await s.release('detail', 6, released.token)
  await s.database.query(
    `update batches set lease_expires_at = lease_expires_at - interval '1 day'
     where execution_id = 'detail' and batch_index = 3`,
  )
  const { status, body } = await s.barrier('detail', '?detail=claims')
  t.equal(status, 200)
  const plain = (await s.barrier('detail')).body
  const [first, second, third] = body.claims
  t.strictSame(body, {
    ...plain,
    claimed: 3,
    leases_expired: 1,
    unclaimed: 26,
    claims_counted_in_full: true,
    claims: [
      {
        batch_index: 5,
        owner: 'first',
        attempt: 1,
        claimed_at: first.claimed_at,
        lease_expires_at: first.lease_expires_at,
      },
      {
        batch_index: 3,
        owner: 'second',
        attempt: 1,
        claimed_at: second.claimed_at,
        lease_expires_at: second.lease_expires_at,
      },
      {
        batch_index: 4,
        owner: null,
        attempt: 1,
        claimed_at: third.claimed_at,
        lease_expires_at: null,
      },
    ],
  })
  t.ok(first.claimed_at < second.claimed_at && second.claimed_at < third.claimed_at)
})

t.test('detail=claims of a barrier that nobody works on is zeroes', async t => {
  await s.enqueue('idle', { total: 2 })
  t.match((await s.barrier('idle', '?detail=claims')).body, {
    claimed: 0,
    leases_expired: 0,
    unclaimed: 2,
    claims: [],
  })
})

t.test('detail=claims shows a bounded number of claims and counts all', async t => {
  await s.enqueue('bounded', { total: 500 })
  await s.call('POST', '/executions/bounded/batches/claim', {
    batch_indexes: Array.from({ length: 300 }, (_, index) => index),
  })
  const { body } = await s.barrier('bounded', '?detail=claims')
  t.match(body, { claimed: 300, unclaimed: 200 })
  t.ok(body.claims.length > 0 && body.claims.length <= 100)
})

t.test(
  'detail=claims reads the partial index of claimed rows, however large the table',
  async t => {
    await s.enqueue('large', { total: 100_000 })
    await s.database.query(
      `insert into batches (execution_id, generation, batch_index, state, attempt, recorded_nonce, recorded_at)
     select 'large', 1, index, 'succeeded', 0, 'n', now() from generate_series(10, 60000) as index`,
    )
    await s.call('POST', '/executions/large/batches/claim', { batch_indexes: [0, 1, 2] })
    await s.database.query('analyze batches')
    const sql = await readFile(
      new URL('../../../src/routes/barriers/get.sql', import.meta.url),
      'utf8',
    )
    const asks = JSON.stringify([
      { namespace: '', execution_id: 'large', generation: null, claims: true },
    ])
    const plan = await s.database.query<{ 'QUERY PLAN': string }>(`explain (analyze) ${sql}`, [
      asks,
    ])
    const text = plan.map(row => row['QUERY PLAN']).join('\n')
    t.match(text, /using batches_held on batches|Bitmap Index Scan on batches_held/)
    t.notMatch(text, /Seq Scan on batches/)
    t.match((await s.barrier('large', '?detail=claims')).body, { claimed: 3 })
  },
)

t.test('detail=claims counts 10,000 claims, reads no more, and says so', async t => {
  await s.enqueue('crowded', { total: 1_000_000 })
  await s.database.query(
    `insert into batches (execution_id, generation, batch_index, state, attempt, token, lease_seconds, claimed_at, lease_expires_at)
    select 'crowded', 1, index, 'claimed', 1, '1.1.' || repeat('t', 22), 60, now() - make_interval(secs => index), now() - interval '1 minute'
    from generate_series(0, 29999) as index`,
  )
  await s.database.query('vacuum analyze batches')
  const { body } = await s.barrier('crowded', '?detail=claims')
  t.match(body, {
    claimed: 10_000,
    leases_expired: 10_000,
    unclaimed: 990_000,
    claims_counted_in_full: false,
  })
  t.equal(body.claims.length, 20)
  const held = body.claims.map(({ claimed_at }: { claimed_at: string }) => claimed_at)
  t.strictSame(held, held.toSorted())

  const sql = await readFile(
    new URL('../../../src/routes/barriers/get.sql', import.meta.url),
    'utf8',
  )
  const asks = JSON.stringify([{ namespace: '', execution_id: 'crowded', claims: true }])
  // As the service plans it.
  const scanOf = async (text: string) => {
    const { rows } = await s.app.pg.pool.query<{ 'QUERY PLAN': string }>(
      `explain (analyze, costs off, timing off) ${sql}`,
      [text],
    )
    return rows.map(row => row['QUERY PLAN']).find(line => / Scan .*on batches\b/.test(line))
  }
  const scan = await scanOf(asks)
  t.match(scan, /using batches_held on batches .*rows=10000(\.00)? loops=1/)

  const unread = await scanOf(asks.replace('true', 'false'))
  t.match(unread, /never executed/, 'whoever asks for the state alone counts none')
})

t.test(
  'readers of the claims of one barrier share a read, and closed ones are told at once',
  async t => {
    const database = await clonedDatabase(t)
    const own = await service(t, { database })
    await own.enqueue('shared', { total: 2 })
    const { body: claim } = await own.claim('shared', 0)
    const reads = async () => {
      const [row] = await database.query<{ calls: number }>(
        `select last_value::integer as calls from reads`,
      )
      return row?.calls
    }
    // The moments of claims are written once for each claim that is read.
    await database.query(
      `create sequence reads minvalue 0 start 0;
    create or replace function rfc3339(moment timestamptz) returns text language plpgsql as $$
    begin
      if moment = '3000-01-01' then perform nextval('reads'); end if;
      return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    end $$;
    select nextval('reads');
    update batches set lease_seconds = 60, lease_expires_at = '3000-01-01'`,
    )
    const many = await Promise.all(
      Array.from({ length: 60 }, () => own.barrier('shared', '?detail=claims')),
    )
    t.ok(many.every(({ status, body }) => status === 200 && body.claimed === 1))
    const read = await reads()
    // A machine may take more than a second for the 60; each second has one read.
    t.ok(read !== undefined && read >= 1 && read < 15, `${read} reads for 60 readers`)

    await own.barrier('shared', '?detail=claims')
    await own.decrement('shared', { batch_index: 0, token: claim.token })
    await own.decrement('shared', { batch_index: 1 })
    const closed = await own.barrier('shared', '?detail=claims')
    t.match(closed.body, { state: 'completed', succeeded: 2, claimed: 0 })
    await own.enqueue('shared', { total: 3, conflict_policy: 'replace' })
    const replaced = await own.barrier('shared', '?detail=claims')
    t.match(replaced.body, { state: 'open', generation: 2, total: 3 })
    const old = await own.barrier('shared', '?detail=claims&generation=1')
    t.match(old.body, { code: 'stale_generation', generation: 2 })
  },
)

t.test('whoever reads the claims of a barrier keeps no other reader waiting', async t => {
  const database = await clonedDatabase(t)
  const own = await service(t, { database })
  await own.enqueue('long', { total: 1 })
  await own.enqueue('short', { total: 1 })
  await own.claim('long', 0)
  // A lease of the year 3000 takes as long to be read as lock 7 is held.
  await database.query(
    `create or replace function rfc3339(moment timestamptz) returns text language plpgsql as $$
    begin
      if moment >= '3000-01-01' then perform pg_advisory_xact_lock_shared(7); end if;
      return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    end $$`,
  )
  await database.query(`update batches set lease_seconds = 60, lease_expires_at = '3000-01-01'`)
  const holder = await database.pool.connect()
  t.teardown(() => holder.release())
  await holder.query('select pg_advisory_lock(7)')
  const long = own.barrier('long', '?detail=claims')
  t.match((await own.barrier('short')).body, { state: 'open' })
  await holder.query('select pg_advisory_unlock(7)')
  t.match((await long).body, { claimed: 1 })
})

t.test('a wait for a closed barrier ends at once', async t => {
  await s.enqueue('already', { total: 0 })
  const [{ status, body }, seconds] = await timed(s.barrier('already', '?wait_seconds=50'))
  t.equal(status, 200)
  t.equal(body.state, 'completed')
  t.ok(seconds < 10)
})

t.test('a wait for nothing ends at once', async t => {
  const [{ status, body }, seconds] = await timed(s.barrier('nothing', '?wait_seconds=50'))
  t.equal(status, 404)
  t.strictSame(body, notFound)
  t.ok(seconds < 10)
})

t.test('a wait for a generation that is not the current ends at once', async t => {
  await s.enqueue('not-current', { total: 1 })
  await s.enqueue('not-current', { total: 1, conflict_policy: 'replace' })
  for (const [generation, expected] of [
    [1, 409],
    [3, 404],
  ]) {
    const [{ status }, seconds] = await timed(
      s.barrier('not-current', `?wait_seconds=2&generation=${generation}`),
    )
    t.equal(status, expected)
    t.ok(seconds < 1.5, `generation ${generation} took ${seconds} s`)
  }
})

t.test('a wait that is over answers the open barrier', async t => {
  await s.enqueue('patient', { total: 1 })
  const [{ status, body }, seconds] = await timed(s.barrier('patient', '?wait_seconds=1'))
  t.equal(status, 200)
  t.equal(body.state, 'open')
  t.ok(seconds >= 0.99 && seconds < 10, `${seconds} s`)
})

t.test('a wait ends the moment the barrier closes, here or in another replica', async t => {
  const closings: Record<string, (on: Service, execution: string) => Promise<unknown>> = {
    decrement: (on, execution) => on.decrement(execution, { batch_index: 0 }),
    decrements: (on, execution) => on.decrements(execution, { batches: [{ batch_index: 0 }] }),
    failure: (on, execution) => on.decrement(execution, { batch_index: 0, status: 'failed' }),
    abort: (on, execution) => on.abort(execution, { reason: 'enough' }),
  }
  for (const [words, close] of Object.entries(closings)) {
    for (const [where, closer] of Object.entries({ here: s, there: other })) {
      const execution = `moment-${words}-${where}`
      await s.enqueue(execution, { total: 1 })
      const waiting = waitFor(s, execution)
      await s.barrier(execution)
      await close(closer, execution)
      const [{ status, body }, seconds] = await waiting
      t.equal(status, 200)
      t.not(body.state, 'open', `${words} ${where}`)
      t.ok(seconds < 10, `${words} ${where}: ${seconds} s`)
    }
  }
})

t.test('a wait ends the moment the barrier is replaced, here or in another replica', async t => {
  for (const [where, replacer] of Object.entries({ here: s, there: other })) {
    const execution = `replaced-${where}`
    await s.enqueue(execution, { total: 1 })
    const unfenced = waitFor(s, execution)
    const fenced = waitFor(s, execution, '?wait_seconds=50&generation=1')
    await s.barrier(execution)
    await replacer.enqueue(execution, { total: 5, conflict_policy: 'replace' })
    const [current, seconds] = await unfenced
    t.match(current, { status: 200, body: { generation: 2, state: 'open', total: 5 } })
    t.ok(seconds < 10, `${where}: ${seconds} s`)
    const [stale, fencedSeconds] = await fenced
    t.match(stale, { status: 409, body: { code: 'stale_generation', generation: 2 } })
    t.ok(fencedSeconds < 10, `${where}: ${fencedSeconds} s`)
  }
})

t.test('a wait ends for a barrier that was closed behind the service', async t => {
  await s.enqueue('behind', { total: 1 })
  const waiting = waitFor(s, 'behind')
  await s.barrier('behind')
  await s.database.query(
    `update barriers set state = 'expired', reason = 'late', closed_at = now(), closing_nonce = 'n'
     where execution_id = 'behind'`,
  )
  await s.app.ends.lookOnce()
  const [{ body }, seconds] = await waiting
  t.match(body, { state: 'expired', reason: 'late' })
  t.ok(seconds < 10)
})

t.test('a wait for one execution is not ended by another', async t => {
  await s.enqueue('one', { total: 1 })
  await s.enqueue('another', { total: 1 })
  const waiting = timed(s.barrier('one', '?wait_seconds=1'))
  await s.abort('another')
  const [{ body }, seconds] = await waiting
  t.equal(body.state, 'open')
  t.ok(seconds >= 0.99)
})

t.test('a thousand waits hold no connection and cost one query a second', async t => {
  const small = await service(t, {
    database: s.database,
    settings: { ROLLCALL_POOL_SIZE: '2' },
  })
  const { pool } = small.app.database
  await s.database.query(
    `insert into barriers (execution_id, total, fingerprint, enqueue_nonce, expires_at)
     select 'crowd-' || number, 1, 'f', 'n', now() + interval '1 day'
     from generate_series(0, 999) as number`,
  )
  const waiting = Array.from({ length: 1000 }, (_, number) =>
    small.barrier(`crowd-${number}`, '?wait_seconds=50'),
  )
  await small.barrier('crowd-999')
  while (pool.idleCount < pool.totalCount) await setImmediate()
  const active = await s.database.query(
    `select from pg_stat_activity
     where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()`,
  )
  t.equal(active.length, 0)

  const start = performance.now()
  let queries = 0
  await new Promise<void>(resolve => {
    pool.on('acquire', () => {
      queries += 1
      if (queries === 2) resolve()
    })
  })
  const seconds = (performance.now() - start) / 1000
  t.ok(seconds > 0.9, `2 queries in ${seconds} s`)
  t.equal((await small.claim('crowd-0', 0)).body.outcome, 'granted', 'others are served')

  await s.database.query(
    `update barriers set state = 'aborted', reason = 'enough', closed_at = now(), closing_nonce = 'n'
     where execution_id like 'crowd-%'`,
  )
  await small.app.ends.lookOnce()
  const replies = await Promise.all(waiting)
  t.ok(replies.every(({ body }) => body.state === 'aborted'))
})

t.test('a draining service answers who waits', async t => {
  const draining = await service(t, { database: s.database })
  await s.enqueue('draining', { total: 1 })
  const waiting = waitFor(draining, 'draining')
  await draining.barrier('draining')
  await draining.app.ends.drain()
  const [{ status, body }, seconds] = await waiting
  t.equal(status, 200)
  t.equal(body.state, 'open')
  t.ok(seconds < 10)
})
