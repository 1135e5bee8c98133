import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { Reaper } from '../../src/loops/reaper/reaper.ts'
import { clonedDatabase, freshDatabase } from '../fixtures/database.ts'
import { ask } from '../../src/database/statement.ts'
import { statements, until } from '../fixtures/gate.ts'
import { type Service, service } from '../fixtures/service.ts'

const HOUR = 3600
const DAY = 24 * HOUR

/** As if so many seconds had passed for one execution: every moment of it moves into the past. */
async function pass({ database }: Service, execution: string, seconds: number): Promise<void> {
  await database.query(
    `update barriers
    set (created_at, last_progress_at, expires_at, stuck_check_at, closed_at, callback_due_at, callback_settled_at) = (
      select created_at - past, last_progress_at - past, expires_at - past, stuck_check_at - past, closed_at - past,
        callback_due_at - past, callback_settled_at - past
      from make_interval(secs => $2) as past
    )
    where execution_id = $1`,
    [execution, seconds],
  )
  await database.query(
    `update batches
    set (claimed_at, lease_expires_at, last_seen_at, recorded_at) = (
      select claimed_at - past, lease_expires_at - past, last_seen_at - past, recorded_at - past
      from make_interval(secs => $2) as past
    )
    where execution_id = $1`,
    [execution, seconds],
  )
}

async function rowsOf({ database }: Service, execution: string): Promise<number> {
  const rows = await database.query('select from batches where execution_id = $1', [execution])
  return rows.length
}

/** How a barrier ended, and what became of its callback. */
async function endOf({ database }: Service, execution: string) {
  const [end] = await database.query(
    `select state, reason, callback_state,
      callback_id is not distinct from 'cb_' || closing_nonce as callback_bears_the_nonce
    from barriers where execution_id = $1`,
    [execution],
  )
  return end
}

const everyEnd = { queue: 'ends', events: ['completed', 'aborted', 'expired'] }

t.test('a barrier past expires_at is expired, with its callback due', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 10, expires_in_seconds: 60, callback: everyEnd })
  await s.decrements('run', { batches: [0, 1, 2, 3, 4, 5, 6].map(n => ({ batch_index: n })) })
  await s.enqueue('one', { total: 2, expires_in_seconds: 60, callback: { queue: 'done' } })
  await s.decrement('one', { batch_index: 0 })
  await s.enqueue('young', { total: 1, expires_in_seconds: 62 })
  await s.enqueue('over', { total: 0, expires_in_seconds: 60 })
  for (const execution of ['run', 'one', 'young', 'over']) await pass(s, execution, 61)
  t.equal(await s.app.reaper.expireOnce(), 2)
  t.strictSame(await endOf(s, 'run'), {
    state: 'expired',
    reason: 'Expired: 3 of 10 batches were not recorded in time.',
    callback_state: 'due',
    callback_bears_the_nonce: true,
  })
  t.match(await endOf(s, 'one'), {
    state: 'expired',
    reason: 'Expired: 1 of 2 batches was not recorded in time.',
    callback_state: 'none',
  })
  t.match(await endOf(s, 'young'), { state: 'open' })
  t.match(await endOf(s, 'over'), { state: 'completed' })
  t.equal(await s.app.reaper.expireOnce(), 0, 'closed is for good')
  t.match((await s.claim('run', 8)).body, { outcome: 'closed', state: 'expired', settled: true })
  t.match((await s.decrement('run', { batch_index: 8 })).body, { code: 'barrier_closed' })
  t.match((await s.decrement('run', { batch_index: 0 })).body, { outcome: 'duplicate' })
})

t.test('an overdue barrier still counts, and may complete', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 1, expires_in_seconds: 60 })
  await pass(s, 'run', 61)
  t.match((await s.decrement('run', { batch_index: 0 })).body, { state: 'completed' })
  t.equal(await s.app.reaper.expireOnce(), 0)
})

t.test('whoever waits for a barrier hears that the reaper closed it, in any replica', async t => {
  const database = await freshDatabase(t)
  const [here, there] = [await service(t, { database }), await service(t, { database })]
  await here.enqueue('run', { total: 1, expires_in_seconds: 60 })
  await pass(here, 'run', 61)
  const waits = [here, there].map(s => s.barrier('run', '?wait_seconds=50'))
  t.equal(await here.app.reaper.expireOnce(), 1)
  for (const { body } of await Promise.all(waits)) t.match(body, { state: 'expired' })
})

t.test('each close is one line of the log, without results, tokens and owners', async t => {
  const s = await service(t)
  const lines: unknown[] = []
  const log = Object.assign(Object.create(s.app.log), {
    info: (told: object, sentence: string) => lines.push({ ...told, sentence }),
  })
  const { database, ends, message } = s.app
  const reaper = new Reaper({ database, ends, message, log }, readConfig({}))

  await s.enqueue('late', { total: 1, expires_in_seconds: 60, callback: everyEnd })
  await pass(s, 'late', 61)
  await s.enqueue('tried', { total: 1, max_attempts: 1, callback: { queue: 'done' } })
  await s.claim('tried', 0, { lease_seconds: 60, owner: 'secret-owner' })
  await pass(s, 'tried', 121)
  t.equal(await reaper.roundOnce(), 2)
  await pass(s, 'late', 8 * DAY)
  await pass(s, 'tried', DAY)
  t.equal(await reaper.giveUpOnce(), 1)
  t.equal(await reaper.roundOnce(), 0, 'what was given up keeps its batches for as long again')

  const rows = await s.database.query<{ callback_id: string }>(
    `select callback_id from barriers where execution_id = 'late'`,
  )
  const callback_id = rows[0]?.callback_id
  t.strictSame(lines.slice(0, 4), [
    {
      execution_id: 'late',
      generation: 1,
      callback_id,
      state: 'expired',
      reason: 'Expired: 1 of 1 batches was not recorded in time.',
      sentence: 'The reaper closed a barrier.',
    },
    {
      execution_id: 'tried',
      generation: 1,
      recorded: 1,
      sentence: 'Batches that were out of attempts are recorded as failed.',
    },
    {
      execution_id: 'tried',
      generation: 1,
      callback_id: undefined,
      state: 'aborted',
      reason: 'Batch 0 failed: 1 failed, 0 tolerated.',
      sentence: 'The reaper closed a barrier.',
    },
    {
      execution_id: 'late',
      generation: 1,
      callback_id,
      state: 'expired',
      sentence: 'Nobody took the callback from its queue; it is dead.',
    },
  ])
  t.notMatch(JSON.stringify(lines), /secret-owner/)
})

t.test('a barrier on which nothing progressed is stuck, but not before its time', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 2, stuck_after_seconds: 600, callback: everyEnd })
  await pass(s, 'run', 400)
  await s.decrement('run', { batch_index: 0 })
  t.equal(await s.app.reaper.closeStuckOnce(), 0, 'nobody looks before it could be stuck')
  await pass(s, 'run', 560)
  t.equal(await s.app.reaper.closeStuckOnce(), 1, 'looked at')
  t.match(await endOf(s, 'run'), { state: 'open' })
  t.strictSame(
    await s.database.query(
      `select stuck_check_at = last_progress_at + interval '600 seconds' as on_time from barriers`,
    ),
    [{ on_time: true }],
    'and looked at again when it could be',
  )
  await pass(s, 'run', 40)
  t.equal(await s.app.reaper.closeStuckOnce(), 1)
  t.strictSame(await endOf(s, 'run'), {
    state: 'expired',
    reason: 'stuck',
    callback_state: 'due',
    callback_bears_the_nonce: true,
  })
  t.equal(await s.app.reaper.closeStuckOnce(), 0)
})

t.test('a batch under heartbeats past stuck_after_seconds is not reaped', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 1, stuck_after_seconds: 600 })
  const { token } = (await s.claim('run', 0, { lease_seconds: 60 })).body
  for (let seconds = 0; seconds < 1200; seconds += 50) {
    await pass(s, 'run', 50)
    t.equal((await s.heartbeat('run', 0, { token })).status, 200)
    await s.app.reaper.closeStuckOnce()
  }
  t.match(await endOf(s, 'run'), { state: 'open' })
  await pass(s, 'run', 599)
  await s.app.reaper.closeStuckOnce()
  t.match(await endOf(s, 'run'), { state: 'open' })
  await pass(s, 'run', 61)
  await s.app.reaper.closeStuckOnce()
  t.match(await endOf(s, 'run'), { state: 'expired', reason: 'stuck' })
})

t.test('a lease that runs keeps its barrier open, and is looked at again', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 3, stuck_after_seconds: 600 })
  await s.claim('run', 0, { lease_seconds: 3600 })
  await s.claim('run', 1, { lease_seconds: 1800 })
  await s.claim('run', 2)
  await pass(s, 'run', 601)
  t.equal(await s.app.reaper.closeStuckOnce(), 1)
  t.strictSame(
    await s.database.query(
      `select state, round(extract(epoch from stuck_check_at - clock_timestamp()))::integer as seconds from barriers`,
    ),
    [{ state: 'open', seconds: 600 }],
    'no later than it could be stuck if all leases ended now',
  )
  await pass(s, 'run', 3000)
  t.equal(await s.app.reaper.closeStuckOnce(), 1)
  t.match(await endOf(s, 'run'), { reason: 'stuck' }, 'a claim without a lease does not run')
})

t.test('claims and heartbeats move the progress of a barrier, coarsely', async t => {
  const s = await service(t)
  const version = async () => {
    const [row] = await s.database.query('select ctid::text, xmin::text, xmax::text from barriers')
    return row
  }
  const quiet = async () => {
    const [row] = await s.database.query<{ seconds: number }>(
      `select round(extract(epoch from clock_timestamp() - last_progress_at))::integer as seconds from barriers`,
    )
    return row?.seconds
  }
  await s.enqueue('run', { total: 3, stuck_after_seconds: 9000 })
  await pass(s, 'run', 55)
  const before = await version()
  const { token } = (await s.claim('run', 0, { lease_seconds: 60 })).body
  await s.heartbeat('run', 0, { token })
  t.strictSame(await version(), before, 'neither written nor locked within a minute')

  await pass(s, 'run', 10)
  const passed = await version()
  await s.claim('run', 0)
  await s.heartbeat('run', 0, { token: '1.1.another' })
  await s.claim('run', 9)
  t.strictSame(await version(), passed, 'what is not granted or extended is no progress')
  await s.heartbeat('run', 0, { token })
  t.equal(await quiet(), 0)
  await pass(s, 'run', 61)
  await s.claim('run', 1)
  t.equal(await quiet(), 0)

  await s.enqueue('run', { total: 3, stuck_after_seconds: 80, conflict_policy: 'replace' })
  await pass(s, 'run', 9)
  await s.claim('run', 0)
  t.equal(await quiet(), 9, 'an eighth of stuck_after_seconds is 10 seconds')
  await pass(s, 'run', 2)
  await s.claim('run', 1)
  t.equal(await quiet(), 0)
})

t.test('a batch out of attempts is recorded as failed, and aborts its barrier', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 3, max_attempts: 2, callback: everyEnd })
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    t.match(await s.claim('run', 1, { lease_seconds: 60, owner: 'w' }), { body: { attempt } })
    t.equal(await s.app.reaper.exhaustOnce(), 0, 'its lease is running')
    await pass(s, 'run', 61)
  }
  t.match((await s.claim('run', 1)).body, { outcome: 'exhausted' })
  t.equal(await s.app.reaper.exhaustOnce(), 0, 'the grace time is running')
  await pass(s, 'run', 60)
  t.equal(await s.app.reaper.exhaustOnce(), 1)
  t.match((await s.batch('run', 1)).body, {
    state: 'failed',
    attempt: 2,
    owner: 'w',
    lease_expires_at: null,
    recorded_at: /^\d/,
    error: { code: 'attempts_exhausted', attempt: 2, owner: 'w' },
  })
  t.match((await s.claim('run', 1)).body, { outcome: 'finished', status: 'failed' })
  t.strictSame(await endOf(s, 'run'), {
    state: 'aborted',
    reason: 'Batch 1 failed: 1 failed, 0 tolerated.',
    callback_state: 'due',
    callback_bears_the_nonce: true,
  })
  t.strictSame(
    await s.database.query(
      `select succeeded, failed, result_bytes::integer = (select sum(outcome_bytes) from batches) as bytes
      from barriers`,
    ),
    [{ succeeded: 0, failed: 1, bytes: true }],
  )
  t.equal(await s.app.reaper.exhaustOnce(), 0)
})

t.test('a batch out of attempts that is tolerated completes its barrier', async t => {
  const s = await service(t)
  const run = { total: 2, max_attempts: 1, tolerated_failure_count: 1, callback: everyEnd }
  await s.enqueue('run', run)
  await s.decrement('run', { batch_index: 0, result: 1 })
  const { token } = (await s.claim('run', 1, { lease_seconds: 60 })).body
  await s.release('run', 1, token)
  t.equal(await s.app.reaper.exhaustOnce(), 1)
  t.match((await s.barrier('run')).body, {
    state: 'completed',
    succeeded: 1,
    failed: 1,
    callback: { state: 'due' },
  })
  const late = await s.decrement('run', { batch_index: 1, token })
  t.match(late.body, { outcome: 'duplicate', same: false, status: 'failed', state: 'completed' })
})

t.test('the holder of the last attempt may record an outcome within the grace time', async t => {
  const s = await service(t, { settings: { ROLLCALL_EXHAUSTED_GRACE_SECONDS: '600' } })
  const tokens: Record<string, string> = {}
  const executions = ['in-time', 'by-heartbeat', 'too-late']
  for (const execution of executions) {
    await s.enqueue(execution, { total: 1, max_attempts: 1 })
    tokens[execution] = (await s.claim(execution, 0, { lease_seconds: 5 })).body.token
    await pass(s, execution, 600)
  }
  const record = (execution: string) =>
    s.decrement(execution, { batch_index: 0, token: tokens[execution], result: 'done' })
  t.equal(await s.app.reaper.exhaustOnce(), 0)
  t.match((await s.claim('in-time', 0)).body, { outcome: 'exhausted', settled: true })
  t.match((await record('in-time')).body, { outcome: 'recorded', state: 'completed' })
  t.equal((await s.heartbeat('by-heartbeat', 0, { token: tokens['by-heartbeat'] })).status, 200)
  for (const execution of executions) await pass(s, execution, 6)
  t.equal(await s.app.reaper.exhaustOnce(), 1)
  t.match((await record('by-heartbeat')).body, { outcome: 'recorded', state: 'completed' })
  const duplicate = { outcome: 'duplicate', status: 'failed', same: false, settled: true }
  t.match((await record('too-late')).body, { ...duplicate, state: 'aborted' })
})

t.test('an exhausted batch that leaves others to come leaves its barrier open', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 2, max_attempts: 1, tolerated_failure_count: 1 })
  const { token } = (await s.claim('run', 1, { lease_seconds: 60 })).body
  await s.release('run', 1, token)
  t.equal(await s.app.reaper.exhaustOnce(), 1)
  t.match((await s.barrier('run')).body, { state: 'open', failed: 1, remaining: 1 })
})

t.test('attempts are not exhausted while somebody may still finish the batch', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 3, max_attempts: 1 })
  await s.claim('run', 0)
  await s.enqueue('more', { total: 1, max_attempts: 2 })
  const { token } = (await s.claim('more', 0, { lease_seconds: 60 })).body
  await s.release('more', 0, token)
  await s.enqueue('aborted', { total: 1, max_attempts: 1 })
  await s.claim('aborted', 0, { lease_seconds: 60 })
  await s.abort('aborted', { reason: 'Enough.' })
  await s.enqueue('replaced', { total: 1, max_attempts: 1 })
  await s.claim('replaced', 0, { lease_seconds: 60 })
  await s.enqueue('replaced', { total: 1, max_attempts: 1, conflict_policy: 'replace' })
  for (const execution of ['run', 'more', 'aborted', 'replaced']) await pass(s, execution, 121)
  t.equal(await s.app.reaper.exhaustOnce(), 0)
})

t.test('exhausted batches are recorded in bounded steps that find their way on', async t => {
  const s = await service(t)
  // First in the order of keys: what is not for this step.
  await s.enqueue('aborted', { total: 12_000, max_attempts: 1 })
  await s.abort('aborted', { reason: 'Enough.' })
  await s.enqueue('run', { total: 3000, max_attempts: 1, tolerated_failure_count: 3000 })
  await s.database.query(
    `insert into batches (execution_id, generation, batch_index, state, attempt, max_attempts, token)
    select execution_id, 1, index, 'released', 1, 1, '1.1.' || index
    from (values ('aborted', 12000), ('run', 2500)) as execution (execution_id, count)
    cross join lateral generate_series(0, count - 1) as index`,
  )
  const steps = []
  for (let step = 0; step < 6; step += 1) steps.push(await s.app.reaper.exhaustOnce())
  t.strictSame(
    steps.filter(count => count > 1),
    // One more while there is more to look at, so that the loop does not rest.
    [1001, 1001, 500],
  )
  t.match((await s.barrier('run')).body, { state: 'open', failed: 2500, remaining: 500 })
})

t.test('a callback that nobody takes from its queue is dead, with its message', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 1, callback: { queue: 'nobody' } })
  await s.decrement('run', { batch_index: 0, result: { digits: 12345678901234567890n.toString() } })
  await s.enqueue('url', { total: 0, callback: { url: 'https://example.com/' } })
  await s.enqueue('taken', { total: 0, callback: { queue: 'slow' } })
  await s.database.query(
    `update barriers
    set callback_state = 'delivering', callback_attempt = 1, callback_token = '1.1.x',
      callback_leased_at = clock_timestamp(), callback_message = '{"built":"before"}'
    where execution_id = 'taken'`,
  )
  for (const execution of ['run', 'url', 'taken']) await pass(s, execution, 7 * DAY - 60)
  t.equal(await s.app.reaper.giveUpOnce(), 0)
  for (const execution of ['run', 'url', 'taken']) await pass(s, execution, 61)
  t.equal(await s.app.reaper.giveUpOnce(), 2)
  t.strictSame(
    await s.database.query(
      `select execution_id, callback_state, callback_due_at is null as settled, callback_message::text as message,
        callback_attempts -> 0 ->> 'error' as last_error
      from barriers where execution_id <> 'run' order by execution_id`,
    ),
    [
      {
        execution_id: 'taken',
        callback_state: 'dead',
        settled: true,
        message: '{"built":"before"}',
        last_error: 'lease_ended',
      },
      {
        execution_id: 'url',
        callback_state: 'due',
        settled: false,
        message: null,
        last_error: null,
      },
    ],
  )
  const [run] = await s.database.query<{ callback_state: string; message: object }>(
    `select callback_state, callback_message as message from barriers where execution_id = 'run'`,
  )
  t.match(run, {
    callback_state: 'dead',
    message: {
      type: 'barrier.completed',
      data: { results: [{ batch_index: 0, result: { digits: '12345678901234567890' } }] },
    },
  })
  t.equal(await s.app.reaper.forgetBatchesOnce(), 0, 'its batches are kept from now on')
})

t.test(
  'claims without a barrier are forgotten after their last sign of life and lease',
  async t => {
    const s = await service(t)
    await s.claim('claimed', 0, { lease_seconds: 60 })
    await s.claim('held', 0)
    const { token } = (await s.claim('finished', 0, { lease_seconds: 60 })).body
    await s.finish('finished', 0, { token, result: 1 })
    const beating = (await s.claim('beating', 0, { lease_seconds: 60 })).body.token
    await s.claim('leased', 0, { lease_seconds: 86_400 })
    await s.enqueue('barrier', { total: 1 })
    await s.claim('barrier', 0, { lease_seconds: 60 })
    const executions = ['claimed', 'held', 'finished', 'beating', 'leased', 'barrier']
    for (const execution of executions) await pass(s, execution, DAY - 10)
    await s.heartbeat('beating', 0, { token: beating })
    t.equal(await s.app.reaper.forgetClaimsOnce(), 0)
    for (const execution of executions) await pass(s, execution, 11)
    t.equal(await s.app.reaper.forgetClaimsOnce(), 2, 'without a lease, or finished')
    for (const execution of executions) await pass(s, execution, 60)
    t.equal(await s.app.reaper.forgetClaimsOnce(), 1, 'a day after its lease')
    for (const execution of executions) await pass(s, execution, 2 * DAY)
    t.equal(await s.app.reaper.forgetClaimsOnce(), 2)
    t.equal(await rowsOf(s, 'barrier'), 1)
    t.match((await s.claim('finished', 0)).body, { outcome: 'granted', attempt: 1 })
  },
)

t.test('claims are forgotten in bounded steps', async t => {
  const s = await service(t)
  await s.database.query(
    `insert into batches (execution_id, generation, batch_index, state, attempt, token, claimed_at, last_seen_at)
    select 'run', 0, index, 'claimed', 1, '0.1.' || index, past, past
    from generate_series(1, 2300) as index, cast(now() - interval '25 hours' as timestamptz) as past`,
  )
  t.equal(await s.app.reaper.forgetClaimsOnce(), 1000)
  t.equal(await s.app.reaper.forgetClaimsOnce(), 1000)
  t.equal(await s.app.reaper.forgetClaimsOnce(), 300)
})

t.test('the batches of a replaced generation are forgotten, those of the current not', async t => {
  const s = await service(t)
  const claimAll = () =>
    s.call('POST', '/executions/run/batches/claim', { batch_indexes: [0, 1, 2] })
  await s.enqueue('run', { total: 3 })
  await claimAll()
  await s.enqueue('run', { total: 3, conflict_policy: 'replace' })
  await claimAll()
  await pass(s, 'run', DAY - 60)
  t.equal(await s.app.reaper.forgetReplacedOnce(), 0)
  await pass(s, 'run', 61)
  t.equal(await s.app.reaper.forgetReplacedOnce(), 3)
  t.equal(await s.app.reaper.forgetReplacedOnce(), 1, 'it has none any more')
  t.equal(await s.app.reaper.forgetReplacedOnce(), 0)
  t.strictSame(
    await s.database.query('select generation, count(*)::integer from batches group by 1'),
    [{ generation: 2, count: 3 }],
  )
  t.strictSame(await s.database.query('select oldest_generation from barriers'), [
    { oldest_generation: 2 },
  ])
})

t.test('an execution that is replaced again and again does not grow for ever', async t => {
  const s = await service(t)
  for (let day = 0; day < 6; day += 1) {
    await s.enqueue('run', { total: 1, conflict_policy: 'replace' })
    await s.claim('run', 0)
    await s.app.reaper.forgetReplacedOnce()
    await pass(s, 'run', DAY - 60)
  }
  t.strictSame(
    await s.database.query('select generation from batches order by generation'),
    [5, 6].map(generation => ({ generation })),
  )
})

t.test('the batches of a closed barrier are forgotten once its callback is settled', async t => {
  const s = await service(t)
  await s.enqueue('plain', { total: 2 })
  await s.decrement('plain', { batch_index: 0, result: 'kept' })
  await s.claim('plain', 1)
  await s.abort('plain', { reason: 'Enough.' })
  await s.enqueue('due', { total: 1, callback: { url: 'https://example.com/' } })
  await s.decrement('due', { batch_index: 0 })
  await pass(s, 'plain', 7 * DAY - 60)
  await pass(s, 'due', 60 * DAY)
  t.equal(await s.app.reaper.forgetBatchesOnce(), 0)
  await pass(s, 'plain', 61)
  t.equal(await s.app.reaper.forgetBatchesOnce(), 2)
  t.equal(await s.app.reaper.forgetBatchesOnce(), 1, 'it has none any more')
  t.equal(await s.app.reaper.forgetBatchesOnce(), 0)
  t.equal(await rowsOf(s, 'plain'), 0)
  t.equal(await rowsOf(s, 'due'), 1, 'its callback was not delivered yet')
})

t.test(
  'a tombstone answers closed to a late claim, and says that its batches are gone',
  async t => {
    const s = await service(t)
    await s.enqueue('run', { total: 2 })
    await s.decrement('run', { batch_index: 0 })
    await s.abort('run', { reason: 'Enough.' })
    await pass(s, 'run', 7 * DAY + 1)
    t.equal(await s.app.reaper.forgetBatchesOnce(), 1)
    t.equal(await s.app.reaper.forgetBatchesOnce(), 1)
    const closed = { outcome: 'closed', state: 'aborted', reason: 'Enough.', settled: true }
    t.match((await s.claim('run', 0)).body, closed, 'also what was recorded: not granted again')
    t.match((await s.claim('run', 1)).body, closed)
    t.match((await s.decrement('run', { batch_index: 0 })).body, {
      code: 'barrier_closed',
      settled: true,
    })
    t.match((await s.barrier('run', '?detail=claims')).body, { state: 'aborted', succeeded: 1 })
    const gone = { status: 410, body: { code: 'batches_forgotten', generation: 1 } }
    t.match(await s.batches('run'), gone)
    t.match(await s.batches('run', '?state=unclaimed'), gone)
    t.match(await s.batch('run', 0), gone)
    t.match(await s.batch('run', 2), { status: 404, body: { code: 'batch_not_found' } })
    t.match(await s.batch('run', 0, '?generation=2'), { body: { code: 'execution_not_found' } })
    t.equal(await rowsOf(s, 'run'), 0, 'and none of it wrote a batch')

    await s.enqueue('run', { total: 1, conflict_policy: 'replace' })
    t.match(await s.batches('run', '?state=unclaimed'), { status: 200 }, 'a new run has its own')
  },
)

t.test('what a clear left that did not come to its end goes before the tombstone', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 2 })
  for (const batch_index of [0, 1]) await s.decrement('run', { batch_index })
  const [step] = await ask<{ cleared: number; more: boolean }>(s.app.database, statements.clear, [
    { namespace: '', execution_id: 'run', most: 1 },
  ])
  t.match(step, { cleared: 1, more: true })
  t.match(await s.batch('run', 1), { status: 410, body: { code: 'batches_forgotten' } })
  await pass(s, 'run', 31 * DAY)
  t.equal(await s.app.reaper.forgetBarriersOnce(), 1, 'the batch that was left')
  t.equal(await rowsOf(s, 'run'), 0)
  t.equal(await s.app.reaper.forgetBarriersOnce(), 1)
})

t.test('a tombstone goes after its batches, and not before its time', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 1 })
  await s.claim('run', 0)
  await s.enqueue('run', { total: 1, conflict_policy: 'replace' })
  await s.decrement('run', { batch_index: 0 })
  await pass(s, 'run', 31 * DAY)
  t.equal(await s.app.reaper.forgetBarriersOnce(), 0, 'it has batches')
  t.equal(await s.app.reaper.forgetBatchesOnce(), 1)
  t.equal(await s.app.reaper.forgetBatchesOnce(), 1)
  t.equal(await s.app.reaper.forgetBarriersOnce(), 0, 'it has batches of an older generation')
  t.equal(await s.app.reaper.forgetReplacedOnce(), 1)
  t.equal(await s.app.reaper.forgetReplacedOnce(), 1)
  await pass(s, 'run', -2 * DAY)
  t.equal(await s.app.reaper.forgetBarriersOnce(), 0, 'it is 29 days old')
  await pass(s, 'run', 2 * DAY)
  t.equal(await s.app.reaper.forgetBarriersOnce(), 1)
  t.equal((await s.barrier('run')).status, 404)
  t.match((await s.claim('run', 0)).body, { outcome: 'granted', generation: 0 }, 'a stranger')
})

t.test('retention never touches an open barrier, however old', async t => {
  const s = await service(t)
  const year = 365 * DAY
  await s.enqueue('run', {
    total: 4,
    expires_in_seconds: 2_592_000,
    stuck_after_seconds: 2_592_000,
    callback: everyEnd,
  })
  await s.claim('run', 0, { lease_seconds: 60 })
  await s.claim('run', 1)
  await s.decrement('run', { batch_index: 2, result: 'old' })
  await pass(s, 'run', 10 * year)
  const before = await s.database.query('select * from batches order by batch_index')
  const forget = async () => {
    const { reaper } = s.app
    return [
      await reaper.forgetClaimsOnce(),
      await reaper.forgetReplacedOnce(),
      await reaper.forgetBatchesOnce(),
      await reaper.forgetBarriersOnce(),
      await reaper.giveUpOnce(),
    ]
  }
  t.strictSame(await forget(), [0, 0, 0, 0, 0])
  t.strictSame(await s.database.query('select * from batches order by batch_index'), before)
  t.match((await s.barrier('run')).body, { state: 'open', succeeded: 1 })

  // Also where the generation before is forgotten.
  await s.enqueue('run', { total: 1, conflict_policy: 'replace' })
  await s.claim('run', 0)
  await pass(s, 'run', 10 * year)
  t.strictSame(await forget(), [0, 3, 0, 0, 0])
  t.strictSame(await s.database.query('select generation, batch_index from batches'), [
    { generation: 2, batch_index: 0 },
  ])
})

t.test('batches and tombstones are forgotten in bounded steps', async t => {
  const s = await service(t)
  await s.database.query(
    `insert into barriers (execution_id, state, total, fingerprint, enqueue_nonce, expires_at, reason, closing_nonce,
      closed_at)
    select 'run-' || nth, 'aborted', 2000, '', nth, now(), 'Enough.', nth, now() - interval '31 days'
    from generate_series(1, 250) as nth`,
  )
  await s.database.query(
    `insert into batches (execution_id, generation, batch_index, state, attempt, token)
    select 'run-' || nth, 1, index, 'claimed', 1, '1.1.' || index
    from generate_series(1, 250) as nth cross join lateral generate_series(1, case when nth = 1 then 1500 else 2 end) as index`,
  )
  let steps = 0
  for (let done = 1; done > 0; steps += 1) {
    done = await s.app.reaper.forgetBatchesOnce()
    t.ok(done <= 1100, `${done} rows`)
  }
  t.ok(steps > 3)
  t.equal(await s.app.reaper.forgetBarriersOnce(), 250)
})

t.test('a step that fails is logged and keeps no other from its turn', async t => {
  const s = await service(t, { database: await clonedDatabase(t) })
  await s.claim('old', 0)
  await pass(s, 'old', 2 * DAY)
  await s.database.query('alter function callback_message rename to another')
  t.equal(await s.app.reaper.roundOnce(), 1)
})

t.test('the loop begins when a replica listens, and ends before its pool', async t => {
  const database = await freshDatabase(t)
  const told = await service(t, { database })
  await told.enqueue('run', { total: 1, expires_in_seconds: 60 })
  await pass(told, 'run', 61)
  const config = readConfig({ LOG_LEVEL: 'silent', ROLLCALL_REAPER_REST_SECONDS: '1' })
  const app = await buildApp(config, { connectionString: database.url })
  t.teardown(() => app.close())
  await app.listen({ port: 0 })
  await until(
    async () => (await told.barrier('run')).body.state === 'expired',
    'the reaper of the replica that listens closed it',
  )
  await app.close()
})
