import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

/** Time is moved in the database and never waited for. */
const endLeases = (execution: string) =>
  s.database.query(
    `update batches set lease_expires_at = lease_expires_at - interval '1 day' where execution_id = $1`,
    [execution],
  )

const rowsOf = (execution: string) =>
  s.database.query('select * from batches where execution_id = $1 order by batch_index', [
    execution,
  ])

/** Enqueues, runs `claims` times through grant and release of batch 0. */
async function useUp(execution: string, attempts: number): Promise<void> {
  await s.enqueue(execution, { total: 2, max_attempts: attempts })
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const { body } = await s.claim(execution, 0)
    await s.release(execution, 0, body.token)
  }
}

t.test('the first claim is granted with a token of its generation and attempt', async t => {
  await s.enqueue('first', { total: 3 })
  const { status, headers, body } = await s.claim('first', 2, { lease_seconds: 30, owner: 'w1' })
  t.equal(status, 200)
  t.strictSame(body, {
    outcome: 'granted',
    claimed: true,
    settled: false,
    batch_index: 2,
    generation: 1,
    attempt: 1,
    token: body.token,
    lease_expires_at: body.lease_expires_at,
  })
  t.match(body.token, /^1\.1\.[\w-]{22}$/)
  t.match(body.lease_expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  t.equal(headers['retry-after'], undefined)
  const [lease] = await s.database.query(
    `select $1::timestamptz - clock_timestamp() between interval '20 s' and interval '30 s' as fits`,
    [body.lease_expires_at],
  )
  t.strictSame(lease, { fits: true })
})

t.test('without a barrier claims are granted in generation 0, and no range is known', async t => {
  const { status, body } = await s.claim('alone', 2_147_483_647)
  t.equal(status, 200)
  t.strictSame(body, {
    outcome: 'granted',
    claimed: true,
    settled: false,
    batch_index: 2_147_483_647,
    generation: 0,
    attempt: 1,
    token: body.token,
    lease_expires_at: null,
  })
  t.match(body.token, /^0\.1\./)
})

t.test('a batch that another holds is in progress: neither claimed nor settled', async t => {
  const granted = await s.claim('held', 0, { lease_seconds: 600, owner: 'first' })
  const before = await rowsOf('held')
  const { status, headers, body } = await s.claim('held', 0, { lease_seconds: 5, owner: 'second' })
  t.equal(status, 200)
  t.strictSame(body, {
    outcome: 'in_progress',
    claimed: false,
    settled: false,
    batch_index: 0,
    generation: 0,
    attempt: 1,
    owner: 'first',
    lease_expires_at: granted.body.lease_expires_at,
    retry_after_seconds: body.retry_after_seconds,
  })
  t.ok(body.retry_after_seconds > 580 && body.retry_after_seconds <= 600)
  t.equal(headers['retry-after'], String(body.retry_after_seconds))
  t.strictSame(await rowsOf('held'), before, 'a claim that is not granted writes nothing')
})

t.test('a claim without a lease is in progress with no time to come back', async t => {
  await s.claim('leaseless', 0)
  const { headers, body } = await s.claim('leaseless', 0, { lease_seconds: 5 })
  t.strictSame(body, {
    outcome: 'in_progress',
    claimed: false,
    settled: false,
    batch_index: 0,
    generation: 0,
    attempt: 1,
    owner: null,
    lease_expires_at: null,
  })
  t.equal(headers['retry-after'], undefined)
  await s.database.query(
    `update batches set claimed_at = claimed_at - interval '1 year', last_seen_at = last_seen_at - interval '1 year'
     where execution_id = 'leaseless'`,
  )
  t.equal((await s.claim('leaseless', 0)).body.outcome, 'in_progress', 'however old it is')
})

t.test('a lease that ended is taken over with a new token and the next attempt', async t => {
  await s.enqueue('over', { total: 1 })
  const first = await s.claim('over', 0, { lease_seconds: 30, owner: 'first' })
  await endLeases('over')
  const { body } = await s.claim('over', 0, { lease_seconds: 60, owner: 'second' })
  t.strictSame(body, {
    outcome: 'granted',
    claimed: true,
    settled: false,
    batch_index: 0,
    generation: 1,
    attempt: 2,
    token: body.token,
    lease_expires_at: body.lease_expires_at,
  })
  t.match(body.token, /^1\.2\.[\w-]{22}$/)
  t.not(body.token.split('.')[2], first.body.token.split('.')[2])
  t.match(await rowsOf('over'), [{ owner: 'second', attempt: 2, token: body.token }])
})

t.test('a released batch is granted at once, with the next attempt', async t => {
  const first = await s.claim('released', 0, { lease_seconds: 600 })
  await s.release('released', 0, first.body.token)
  const { body } = await s.claim('released', 0)
  t.strictSame(body, {
    outcome: 'granted',
    claimed: true,
    settled: false,
    batch_index: 0,
    generation: 0,
    attempt: 2,
    token: body.token,
    lease_expires_at: null,
  })
  t.match(body.token, /^0\.2\./)
})

t.test('a finished batch answers with its result, digit by digit', async t => {
  const { body: granted } = await s.claim('finished', 0)
  await s.call(
    'POST',
    '/executions/finished/batches/0/finish',
    `{"token":"${granted.token}","result":{"b":12345678901234567890,"a":0.10}}`,
  )
  const { status, text, body } = await s.claim('finished', 0, { lease_seconds: 5 })
  t.equal(status, 200)
  t.strictSame(body, {
    outcome: 'finished',
    claimed: false,
    settled: true,
    batch_index: 0,
    generation: 0,
    status: 'succeeded',
    // oxlint-disable-next-line no-loss-of-precision -- what JSON.parse makes of it; the text below is exact
    result: { b: 12345678901234567890, a: 0.1 },
  })
  t.match(text, '{"b":12345678901234567890,"a":0.10}')
})

t.test('a batch that failed answers finished with its error', async t => {
  await s.enqueue('failed', { total: 2, tolerated_failure_count: 2 })
  await s.decrement('failed', { batch_index: 0, status: 'failed', error: { code: 'boom' } })
  const { body } = await s.claim('failed', 0)
  t.strictSame(body, {
    outcome: 'finished',
    claimed: false,
    settled: true,
    batch_index: 0,
    generation: 1,
    status: 'failed',
    error: { code: 'boom' },
  })
})

t.test('a result of 16 KiB is in the reply, a longer one is omitted', async t => {
  await s.enqueue('long', { total: 3 })
  const fits = 'x'.repeat(16 * 1024 - 2)
  await s.decrement('long', { batch_index: 0, result: fits })
  await s.decrement('long', { batch_index: 1, result: `${fits}x` })
  const always = { outcome: 'finished', claimed: false, settled: true, generation: 1 }
  t.strictSame((await s.claim('long', 0)).body, {
    ...always,
    batch_index: 0,
    status: 'succeeded',
    result: fits,
  })
  t.strictSame((await s.claim('long', 1)).body, {
    ...always,
    batch_index: 1,
    status: 'succeeded',
    result_omitted: true,
  })
})

t.test('a claim on a closed barrier is closed, with the state and the reason', async t => {
  await s.enqueue('aborted', { total: 2 })
  const held = await s.claim('aborted', 0)
  await s.abort('aborted', { reason: 'enough' })
  const closed = { outcome: 'closed', claimed: false, settled: true, generation: 1 }
  const aborted = { state: 'aborted', reason: 'enough' }
  t.strictSame((await s.claim('aborted', 0)).body, { ...closed, batch_index: 0, ...aborted })
  t.strictSame((await s.claim('aborted', 1)).body, { ...closed, batch_index: 1, ...aborted })
  t.equal(held.body.outcome, 'granted')
  t.equal((await rowsOf('aborted')).length, 1, 'and stores nothing')

  await s.enqueue('expired', { total: 1 })
  await s.database.query(
    `update barriers set state = 'expired', reason = 'late', closed_at = now(), closing_nonce = 'n'
     where execution_id = 'expired'`,
  )
  t.strictSame((await s.claim('expired', 0)).body, {
    ...closed,
    batch_index: 0,
    state: 'expired',
    reason: 'late',
  })
})

t.test('a batch is exhausted when its last attempt was released or ran over', async t => {
  await useUp('released-out', 2)
  const exhausted = { outcome: 'exhausted', claimed: false, settled: true, generation: 1 }
  t.strictSame((await s.claim('released-out', 0)).body, {
    ...exhausted,
    batch_index: 0,
    attempt: 2,
  })
  const last = await s.claim('released-out', 1, { lease_seconds: 30 })
  await s.release('released-out', 1, last.body.token)
  await s.claim('released-out', 1, { lease_seconds: 30 })
  t.match((await s.claim('released-out', 1)).body, { outcome: 'in_progress', attempt: 2 })
  await endLeases('released-out')
  const before = await rowsOf('released-out')
  t.strictSame((await s.claim('released-out', 1)).body, {
    ...exhausted,
    batch_index: 1,
    attempt: 2,
  })
  t.strictSame(await rowsOf('released-out'), before)
})

t.test('the last attempt still counts while its token is the newest', async t => {
  await s.enqueue('last-attempt', { total: 1, max_attempts: 1 })
  const { body } = await s.claim('last-attempt', 0, { lease_seconds: 5 })
  await endLeases('last-attempt')
  t.equal((await s.claim('last-attempt', 0)).body.outcome, 'exhausted')
  const counted = await s.decrement('last-attempt', { batch_index: 0, token: body.token })
  t.match(counted.body, { outcome: 'recorded', state: 'completed' })
})

t.test('the rows of the table of claims are tried in its order', async t => {
  // Out of range comes before an older generation.
  await s.enqueue('order', { total: 5, max_attempts: 1 })
  await s.enqueue('order', { total: 2, max_attempts: 1, conflict_policy: 'replace' })
  t.equal((await s.claim('order', 3, { generation: 1 })).body.code, 'batch_out_of_range')
  t.equal((await s.claim('order', 3, { generation: 3 })).body.code, 'batch_out_of_range')

  // An older generation comes before finished, finished before closed, closed before exhausted.
  await s.decrement('order', { batch_index: 0 })
  const { body: held } = await s.claim('order', 1)
  await s.release('order', 1, held.token)
  t.equal((await s.claim('order', 1)).body.outcome, 'exhausted')
  await s.abort('order', { reason: 'enough' })
  t.strictSame((await s.claim('order', 0, { generation: 1 })).body, {
    outcome: 'closed',
    claimed: false,
    settled: true,
    batch_index: 0,
    generation: 2,
    state: 'replaced',
    reason: null,
  })
  t.equal((await s.claim('order', 0)).body.outcome, 'finished')
  t.equal((await s.claim('order', 1)).body.outcome, 'closed')
  t.equal((await s.claim('order', 1, { generation: 2 })).body.state, 'aborted')
})

t.test('a batch index that is not below total is out of range', async t => {
  await s.enqueue('range', { total: 2 })
  const { status, headers, body } = await s.claim('range', 2)
  t.equal(status, 422)
  t.equal(headers['content-type'], 'application/problem+json')
  t.strictSame(body, {
    type: 'urn:rollcall:problem:batch_out_of_range',
    title: 'The batch index is not below the total of the barrier.',
    status: 422,
    detail: 'The batch index is not below the total of the barrier.',
    code: 'batch_out_of_range',
    batch_index: 2,
    total: 2,
    generation: 1,
  })
  t.strictSame(await rowsOf('range'), [])
})

t.test('a generation that is not there yet, or given without a barrier, is not found', async t => {
  await s.enqueue('newer', { total: 2 })
  const problem = {
    type: 'urn:rollcall:problem:execution_not_found',
    title: 'This execution has no barrier, or none of this generation.',
    status: 404,
    detail: 'This execution has no barrier, or none of this generation.',
    code: 'execution_not_found',
    batch_index: 0,
  }
  const newer = await s.claim('newer', 0, { generation: 2 })
  t.equal(newer.status, 404)
  t.strictSame(newer.body, { ...problem, total: 2, generation: 1 })
  const absent = await s.claim('never-enqueued', 0, { generation: 1 })
  t.equal(absent.status, 404)
  t.match(absent.body, problem)
  t.equal((await s.claim('newer', 0, { generation: 1 })).body.outcome, 'granted')
  t.strictSame(await rowsOf('never-enqueued'), [])
})

t.test('claims of generation 0 do not block the barrier that is enqueued later', async t => {
  const { body: early } = await s.claim('early', 0)
  await s.enqueue('early', { total: 1 })
  const { body } = await s.claim('early', 0)
  t.match(body, { outcome: 'granted', generation: 1, attempt: 1 })
  t.not(body.token, early.token)
})

t.test('a claim repeated with its Idempotency-Key finds the grant it made', async t => {
  const first = await s.claim('keyed', 0, { lease_seconds: 600, owner: 'w' }, 'call-1')
  const before = await rowsOf('keyed')
  const repeat = await s.claim('keyed', 0, { lease_seconds: 600, owner: 'w' }, 'call-1')
  t.strictSame(repeat.body, { ...first.body, replayed: true })
  t.equal((await s.claim('keyed', 0, {}, 'call-2')).body.outcome, 'in_progress')
  t.equal((await s.claim('keyed', 0)).body.outcome, 'in_progress')
  t.strictSame(await rowsOf('keyed'), before, 'a replay writes nothing')
})

t.test('release, takeover, finish and clear forget the key', async t => {
  const released = await s.claim('forget-release', 0, {}, 'k')
  await s.release('forget-release', 0, released.body.token)
  const anew = await s.claim('forget-release', 0, {}, 'k')
  t.match(anew.body, { outcome: 'granted', attempt: 2 })
  t.equal(anew.body.replayed, undefined)

  await s.claim('forget-takeover', 0, { lease_seconds: 5 }, 'k')
  await endLeases('forget-takeover')
  await s.claim('forget-takeover', 0, {}, 'other')
  t.match((await s.claim('forget-takeover', 0, {}, 'k')).body, {
    outcome: 'in_progress',
    attempt: 2,
  })

  const finished = await s.claim('forget-finish', 0, {}, 'k')
  await s.finish('forget-finish', 0, { token: finished.body.token })
  t.equal((await s.claim('forget-finish', 0, {}, 'k')).body.outcome, 'finished')

  await s.claim('forget-clear', 0, {}, 'k')
  await s.clear('forget-clear')
  const cleared = await s.claim('forget-clear', 0, {}, 'k')
  t.match(cleared.body, { outcome: 'granted', attempt: 1 })
  t.equal(cleared.body.replayed, undefined)
})

t.test('the key of a lease that ended takes over like any other call', async t => {
  const first = await s.claim('own-lease', 0, { lease_seconds: 5 }, 'k')
  await endLeases('own-lease')
  const { body } = await s.claim('own-lease', 0, { lease_seconds: 5 }, 'k')
  t.match(body, { outcome: 'granted', attempt: 2 })
  t.equal(body.replayed, undefined)
  t.not(body.token, first.body.token)
})

t.test('a key belongs to one generation', async t => {
  await s.enqueue('key-generation', { total: 1 })
  await s.claim('key-generation', 0, {}, 'k')
  await s.enqueue('key-generation', { total: 1, conflict_policy: 'replace' })
  const { body } = await s.claim('key-generation', 0, {}, 'k')
  t.match(body, { outcome: 'granted', generation: 2, attempt: 1 })
  t.equal(body.replayed, undefined)
})

t.test(
  'bulk claims answer in the order asked, each as if asked alone, without results',
  async t => {
    await s.enqueue('bulk', { total: 6, tolerated_failure_count: 6 })
    await s.decrement('bulk', { batch_index: 0, result: { big: 1 } })
    await s.decrement('bulk', { batch_index: 1, status: 'failed', error: 'boom' })
    await s.claim('bulk', 2, { owner: 'holder', lease_seconds: 600 })
    const { status, headers, body } = await s.call('POST', '/executions/bulk/batches/claim', {
      batch_indexes: [5, 0, 6, 2, 1, 3],
      lease_seconds: 30,
      owner: 'bulk-worker',
    })
    t.equal(status, 200)
    t.equal(headers['retry-after'], undefined)
    const [five, , , two, , three] = body.claims
    const finished = { outcome: 'finished', claimed: false, settled: true, generation: 1 }
    const granted = { outcome: 'granted', claimed: true, settled: false, generation: 1, attempt: 1 }
    t.strictSame(body, {
      claims: [
        {
          ...granted,
          batch_index: 5,
          token: five.token,
          lease_expires_at: five.lease_expires_at,
        },
        { ...finished, batch_index: 0, status: 'succeeded', result_omitted: true },
        {
          outcome: 'refused',
          claimed: false,
          settled: false,
          code: 'batch_out_of_range',
          batch_index: 6,
          total: 6,
          generation: 1,
        },
        {
          outcome: 'in_progress',
          claimed: false,
          settled: false,
          batch_index: 2,
          generation: 1,
          attempt: 1,
          owner: 'holder',
          lease_expires_at: two.lease_expires_at,
          retry_after_seconds: two.retry_after_seconds,
        },
        { ...finished, batch_index: 1, status: 'failed', error: 'boom' },
        {
          ...granted,
          batch_index: 3,
          token: three.token,
          lease_expires_at: three.lease_expires_at,
        },
      ],
    })
    t.not(five.token, three.token)
  },
)

t.test('the key of a bulk claim covers each of its batches', async t => {
  const claimAll = (indexes: number[], key?: string) =>
    s.call(
      'POST',
      '/executions/bulk-key/batches/claim',
      { batch_indexes: indexes },
      key === undefined ? {} : { 'idempotency-key': key },
    )
  const first = await claimAll([0, 1, 2], 'k')
  const repeat = await claimAll([2, 0, 1], 'k')
  t.strictSame(
    repeat.body.claims,
    [2, 0, 1].map(index => ({ ...first.body.claims[index], replayed: true })),
  )
  t.strictSame((await s.claim('bulk-key', 1, {}, 'k')).body, {
    ...first.body.claims[1],
    replayed: true,
  })
  const [, other] = (await claimAll([3, 1], 'k2')).body.claims
  t.equal(other.outcome, 'in_progress')
})

t.test('a bulk claim of an older or unknown generation says so for each batch', async t => {
  await s.enqueue('bulk-old', { total: 2 })
  await s.enqueue('bulk-old', { total: 2, conflict_policy: 'replace' })
  const older = await s.call('POST', '/executions/bulk-old/batches/claim', {
    batch_indexes: [0],
    generation: 1,
  })
  t.strictSame(older.body.claims, [
    {
      outcome: 'closed',
      claimed: false,
      settled: true,
      batch_index: 0,
      generation: 2,
      state: 'replaced',
      reason: null,
    },
  ])
  const newer = await s.call('POST', '/executions/bulk-old/batches/claim', {
    batch_indexes: [0, 1],
    generation: 3,
  })
  t.equal(newer.status, 200)
  t.strictSame(newer.body.claims, [
    {
      outcome: 'refused',
      claimed: false,
      settled: false,
      code: 'execution_not_found',
      batch_index: 0,
      total: 2,
      generation: 2,
    },
    {
      outcome: 'refused',
      claimed: false,
      settled: false,
      code: 'execution_not_found',
      batch_index: 1,
      total: 2,
      generation: 2,
    },
  ])
  t.strictSame(await rowsOf('bulk-old'), [])
})

const claimAll = (batch_indexes: unknown) =>
  s.call('POST', '/executions/bulk-rules/batches/claim', { batch_indexes })

t.test('a bulk claim takes 1 to 1,000 different indexes', async t => {
  for (const wrong of [[], [1, 1], Array.from({ length: 1001 }, (_, index) => index)]) {
    const { status, body } = await claimAll(wrong)
    t.equal(status, 400)
    t.match(body, { code: 'invalid_request', errors: [{ path: 'batch_indexes' }] })
  }
  t.strictSame(await rowsOf('bulk-rules'), [])
  const { body } = await claimAll(Array.from({ length: 1000 }, (_, index) => 999 - index))
  t.equal(body.claims.length, 1000)
  t.ok(
    body.claims.every(
      (claim: { batch_index: number; outcome: string }, position: number) =>
        claim.batch_index === 999 - position && claim.outcome === 'granted',
    ),
  )
})

t.test('of concurrent claims for one batch exactly one is granted', async t => {
  await s.enqueue('concurrent', { total: 1 })
  const replies = await Promise.all(Array.from({ length: 40 }, () => s.claim('concurrent', 0)))
  const outcomes = replies.map(({ body }) => body.outcome)
  t.equal(outcomes.filter(outcome => outcome === 'granted').length, 1)
  t.equal(outcomes.filter(outcome => outcome === 'in_progress').length, 39)
})

t.test('concurrent calls with one key share one grant', async t => {
  const replies = await Promise.all(
    Array.from({ length: 20 }, () => s.claim('concurrent-key', 0, { lease_seconds: 60 }, 'k')),
  )
  t.equal(new Set(replies.map(({ body }) => body.token)).size, 1)
  t.equal(replies.filter(({ body }) => body.replayed === undefined).length, 1)
  t.ok(replies.every(({ body }) => body.claimed === true))
})

t.test('a claim never waits for a barrier row', async t => {
  await s.enqueue('locked', { total: 1 })
  const holder = await s.database.pool.connect()
  t.teardown(() => holder.release())
  await holder.query('begin')
  await holder.query(`select from barriers where execution_id = 'locked' for update`)
  t.equal((await s.claim('locked', 0)).body.outcome, 'granted')
  await holder.query('rollback')
})

t.test('a lease has 5 to 86,400 seconds and an owner at most 255 characters', async t => {
  for (const lease_seconds of [5, 86_400]) {
    t.equal((await s.claim(`lease-${lease_seconds}`, 0, { lease_seconds })).status, 200)
  }
  for (const lease_seconds of [4, 86_401, 5.5, -5]) {
    const { status, body } = await s.claim('lease-bounds', 0, { lease_seconds })
    t.equal(status, 400)
    t.match(body, { code: 'invalid_request', errors: [{ path: 'lease_seconds' }] })
  }
  t.equal((await s.claim('owner', 0, { owner: 'ö'.repeat(255) })).status, 200)
  t.match((await s.claim('owner', 1, { owner: 'o'.repeat(256) })).body, {
    errors: [{ path: 'owner' }],
  })
  t.strictSame(await rowsOf('lease-bounds'), [])
})
