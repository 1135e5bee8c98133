import { readdir, stat } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Webhook } from 'standardwebhooks'
import { keptSecret } from '../../src/webhook/secret.ts'
import { isSecret } from '../../src/webhook/signature.ts'
import { together, until } from '../fixtures/gate.ts'
import { deliveryOf, makeDue, secret } from '../fixtures/delivery.ts'
import { type Act, closesMidReply, drips, gigabyte, hangs, receiver } from '../fixtures/receiver.ts'
import { service } from '../fixtures/service.ts'
import { clonedDatabase, freshDatabase } from '../fixtures/database.ts'

/** A service of the test's own, and in words what most tests do. */
async function stage(t: Test, options: Parameters<typeof service>[1] = {}) {
  const s = await service(t, options)
  return {
    s,
    callbackOf: (execution: string) => s.call('GET', `/executions/${execution}/callback`),
    /** A run of one batch that is over, with its callback due. */
    over: async (execution: string, url: string, wish: object = {}) => {
      await s.enqueue(execution, { total: 1, callback: { url, ...wish } })
      await s.decrement(execution, { batch_index: 0, result: { pages: 12 } })
    },
  }
}

/** Answers no sooner than it is told to. */
function holds(): { act: Act; release: () => void } {
  const replies: ServerResponse[] = []
  return {
    act: reply => void replies.push(reply),
    release: () => replies.forEach(reply => reply.writeHead(200).end()),
  }
}

t.test('a callback is delivered once, signed, with the id that it shows', async t => {
  const { s, callbackOf, over } = await stage(t)
  const to = await receiver(t, 204)
  const delivery = deliveryOf(t, s)
  await over('once', to.url, { task_name: 'report', kwargs: { n: 1 } })
  t.equal(await delivery.leaseOnce(), 1)
  await delivery.settled()
  t.equal(await delivery.leaseOnce(), 0, 'nothing is due any more')

  const [{ body, headers }] = to.received as [(typeof to.received)[0]]
  t.equal(to.received.length, 1)
  const barrier = (await s.barrier('once')).body
  t.strictSame(new Webhook(secret).verify(body, headers), {
    type: 'barrier.completed',
    timestamp: barrier.closed_at,
    data: {
      execution_id: 'once',
      generation: 1,
      state: 'completed',
      reason: null,
      total: 1,
      succeeded: 1,
      failed: 0,
      task_name: 'report',
      kwargs: { n: 1 },
      headers: null,
      metadata: null,
      results: [{ batch_index: 0, status: 'succeeded', result: { pages: 12 } }],
      results_url: '/executions/once/batches?generation=1',
    },
  })
  const shown = (await callbackOf('once')).body
  t.equal(shown.callback_id, headers['webhook-id'])
  t.match(shown, {
    state: 'delivered',
    due_at: null,
    attempts: [{ attempt: 1, outcome: 'delivered', status: 204, error: null }],
  })
  t.equal(barrier.callback.state, 'delivered')
})

t.test('data of the producer is never an HTTP header', async t => {
  const { s, over } = await stage(t)
  const to = await receiver(t, 204)
  const delivery = deliveryOf(t, s)
  const headers = { host: 'elsewhere', authorization: 'Bearer x', 'content-length': '1' }
  await over('headers', to.url, { headers })
  await delivery.leaseOnce()
  await delivery.settled()
  const [request] = to.received
  t.equal(request?.headers['authorization'], undefined)
  t.equal(request?.headers['host'], new URL(to.url).host)
  t.strictSame(JSON.parse(request?.body ?? '').data.headers, headers)
})

t.test('invariant 9: every attempt has the same id and bytes, whichever replica sends', async t => {
  const { s, callbackOf, over } = await stage(t)
  const to = await receiver(t, 500, 500, 500, 500, 500, 200)
  const other = await service(t, { database: s.database })
  const replicas = [deliveryOf(t, s), deliveryOf(t, other)]
  await over('same', to.url)
  for (let nth = 0; nth < 6; nth += 1) {
    const delivery = replicas[nth % 2]
    t.equal(await delivery?.leaseOnce(), 1)
    await delivery?.settled()
    if (nth < 5) {
      t.match((await callbackOf('same')).body, { state: 'due', attempt: nth + 1 })
      t.equal(await delivery?.leaseOnce(), 0, 'not before its time')
      await makeDue(s.database)
    }
  }
  t.equal(new Set(to.received.map(({ headers }) => headers['webhook-id'])).size, 1)
  t.equal(new Set(to.received.map(({ body }) => body)).size, 1)
  const { body } = await callbackOf('same')
  t.equal(body.state, 'delivered')
  t.strictSame(
    body.attempts.map((attempt: { status: number }) => attempt.status),
    [500, 500, 500, 500, 500, 200],
  )
})

t.test('waits grow as the schedule says; the ninth attempt is the last', async t => {
  const { s, callbackOf, over } = await stage(t)
  const to = await receiver(t, 500, 500, 500, 500, 500, 500, 500, 500, 500, 204)
  const delivery = deliveryOf(t, s)
  await over('dead', to.url)
  for (const wait of [5, 30, 120, 600, 1800, 7200, 18_000, 36_000]) {
    t.equal(await delivery.leaseOnce(), 1)
    await delivery.settled()
    const [row] = await s.database.query<{ seconds: number }>(
      `select extract(epoch from callback_due_at - clock_timestamp())::float as seconds
      from barriers where execution_id = 'dead'`,
    )
    const { seconds = 0 } = row ?? {}
    t.ok(seconds > wait - 1 && seconds <= wait * 1.25, `${seconds} s after a wait of ${wait} s`)
    await makeDue(s.database)
  }
  await delivery.leaseOnce()
  await delivery.settled()
  const { body } = await callbackOf('dead')
  t.match(body, { state: 'dead', attempt: 9, due_at: null })
  t.equal(body.attempts.length, 9)

  const again = await s.call('POST', '/executions/dead/callback/redeliver')
  t.match(again.body, { state: 'due', callback_id: body.callback_id })
  await delivery.leaseOnce()
  await delivery.settled()
  t.match((await callbackOf('dead')).body, { state: 'delivered', attempt: 10 })
  t.equal(new Set(to.received.map(sent => `${sent.headers['webhook-id']} ${sent.body}`)).size, 1)
})

t.test('a redeliver while the POST is on its way sends it again, with the same id', async t => {
  const { s, callbackOf, over } = await stage(t)
  const held: ServerResponse[] = []
  const to = await receiver(t, reply => held.push(reply), 204)
  const delivery = deliveryOf(t, s, { attempt_ms: 5_000 })
  await over('held', to.url)
  await delivery.leaseOnce()
  await to.nth(1)
  const { callback_id } = (await callbackOf('held')).body
  t.match(await s.redeliver('held'), { status: 200, body: { state: 'due', attempt: 1 } })
  t.equal(await delivery.leaseOnce(), 1)
  await to.nth(2)
  held[0]?.writeHead(500).end()
  await delivery.settled()
  t.match((await callbackOf('held')).body, {
    state: 'delivered',
    attempt: 2,
    callback_id,
    attempts: [{ attempt: 1, outcome: 'unknown', error: 'redelivered' }, { attempt: 2 }],
  })
  t.equal(new Set(to.received.map(({ headers }) => headers['webhook-id'])).size, 1)
})

t.test('a receiver that is repaired gets at once what it put off for an hour', async t => {
  const { s, over } = await stage(t)
  const to = await receiver(t, { status: 503, headers: { 'retry-after': '3600' } }, 204)
  const delivery = deliveryOf(t, s)
  await over('repaired', to.url)
  await delivery.leaseOnce()
  await delivery.settled()
  t.equal(await delivery.leaseOnce(), 0)
  const { body } = await s.redeliver('repaired')
  t.ok(Date.parse(body.due_at) <= Date.now())
  t.equal(await delivery.leaseOnce(), 1)
  await to.nth(2)
})

t.test('what a receiver answers decides what becomes of the callback', async t => {
  const { s, callbackOf, over } = await stage(t)
  const delivery = deliveryOf(t, s)
  const ends = async (name: string, act: Act) => {
    const to = await receiver(t, act)
    await over(name, to.url)
    await delivery.leaseOnce()
    await delivery.settled()
    const [row] = await s.database.query<{ seconds: number | null }>(
      `select extract(epoch from callback_due_at - clock_timestamp())::float as seconds
      from barriers where execution_id = $1`,
      [name],
    )
    const { state, attempts } = (await callbackOf(name)).body
    return { state, seconds: row?.seconds ?? 0, last: attempts.at(-1) }
  }

  t.match(await ends('gone', 410), { state: 'dead', last: { status: 410 } })
  const busy = await ends('busy', { status: 429, headers: { 'retry-after': '60' } })
  t.match(busy, { state: 'due', last: { status: 429 } })
  t.ok(busy.seconds > 58 && busy.seconds <= 75, 'Retry-After is honoured')
  const hasty = await ends('hasty', { status: 503, headers: { 'retry-after': '1' } })
  t.ok(hasty.seconds > 4, 'but not below the schedule')
  const greedy = await ends('greedy', { status: 503, headers: { 'retry-after': '999999' } })
  t.ok(greedy.seconds > 35_990 && greedy.seconds <= 45_000, 'nor above ten hours and their jitter')
  const elsewhere = await receiver(t, 200)
  t.match(await ends('moved', { status: 307, headers: { location: elsewhere.url } }), {
    state: 'due',
    last: { status: 307 },
  })
  t.equal(elsewhere.connections(), 0, 'a redirect is not followed')
  t.match(await ends('silent', hangs), { state: 'due', last: { status: null, error: 'timeout' } })
  t.match(await ends('cut', closesMidReply), { state: 'delivered' }, 'its status has come')
  t.match(await ends('dripping', drips), { state: 'delivered' })
  t.match(await ends('endless', gigabyte), { state: 'delivered' })
})

t.test('a slow receiver keeps no other host waiting', async t => {
  const { s, callbackOf, over } = await stage(t)
  const slow = await receiver(t, hangs)
  const quick = await receiver(t, 204)
  const delivery = deliveryOf(t, s, { attempt_ms: 60_000 })
  for (let nth = 0; nth < 10; nth += 1) await over(`slow-${nth}`, slow.url)
  await over('quick', quick.url)
  t.equal(await delivery.leaseOnce(), 5, 'four to the slow host, one to the other')
  await quick.nth(1)
  await slow.nth(4)
  t.equal(await delivery.leaseOnce(), 0, 'the slow host has no slot left')
  await until(
    async () => (await callbackOf('quick')).body.state === 'delivered',
    'the quick one is delivered',
  )
  await delivery.stop()
  const states = await s.database.query(
    `select callback_state, count(*)::integer from barriers where execution_id like 'slow-%' group by 1 order by 1`,
  )
  t.strictSame(
    states,
    [
      { callback_state: 'delivering', count: 4 },
      { callback_state: 'due', count: 6 },
    ],
    'no more are leased than are sent',
  )
})

t.test('a lease that ended is an attempt of unknown outcome', async t => {
  const { s, callbackOf, over } = await stage(t)
  const held = holds()
  const to = await receiver(t, held.act, 200)
  const [zombie, other] = [deliveryOf(t, s, { attempt_ms: 60_000 }), deliveryOf(t, s)]
  await over('lost', to.url)
  t.equal(await zombie.leaseOnce(), 1)
  await to.nth(1)
  t.equal(await other.leaseOnce(), 0, 'nobody else sends it meanwhile')
  await makeDue(s.database)
  t.equal(await other.leaseOnce(), 1)
  await other.settled()
  const delivered = (await callbackOf('lost')).body
  t.match(delivered, {
    state: 'delivered',
    attempt: 2,
    attempts: [
      { attempt: 1, outcome: 'unknown', error: 'lease_ended' },
      { attempt: 2, outcome: 'delivered', status: 200 },
    ],
  })
  held.release()
  await zombie.settled()
  t.strictSame((await callbackOf('lost')).body, delivered, 'the late outcome changes nothing')
})

t.test('a late outcome changes nothing while the next attempt is on its way', async t => {
  const { s, callbackOf, over } = await stage(t)
  const [first, second] = [holds(), holds()]
  const to = await receiver(t, first.act, second.act)
  const [zombie, other] = [deliveryOf, deliveryOf].map(of => of(t, s, { attempt_ms: 60_000 }))
  await over('late', to.url)
  await zombie?.leaseOnce()
  await to.nth(1)
  await makeDue(s.database)
  await other?.leaseOnce()
  await to.nth(2)
  const before = (await callbackOf('late')).body
  t.match(before, { state: 'delivering', attempt: 2 })
  first.release()
  await zombie?.settled()
  t.strictSame((await callbackOf('late')).body, before)
  second.release()
  await other?.settled()
  t.match((await callbackOf('late')).body, { state: 'delivered', attempt: 2 })
})

t.test('a message that was taken is written down as soon as the database lets it be', async t => {
  const { s, callbackOf, over } = await stage(t, {
    settings: { ROLLCALL_LOCK_TIMEOUT_SECONDS: '1' },
  })
  const held = holds()
  const to = await receiver(t, held.act)
  const delivery = deliveryOf(t, s, { attempt_ms: 60_000 })
  await over('busy', to.url)
  await delivery.leaseOnce()
  await to.nth(1)
  const holder = await s.database.pool.connect()
  await holder.query('begin')
  await holder.query(`select from barriers where execution_id = 'busy' for update`)
  held.release()
  const settled = delivery.settled()
  // Each look has a session of its own begin to wait, so a later beginning is that of a repeat.
  const begun = new Set<string>()
  await until(async () => {
    const rows = await s.database.query<{ begun: string }>(
      `select query_start::text as begun from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`,
    )
    for (const row of rows) begun.add(row.begun)
    return begun.size > 1
  }, 'the outcome was refused and is told again')
  await holder.query('rollback')
  holder.release()
  await settled
  t.match((await callbackOf('busy')).body, { state: 'delivered', attempt: 1 })
  t.equal(to.received.length, 1)
})

t.test('a message that cannot be built keeps no other waiting', async t => {
  const database = await clonedDatabase(t)
  const { s, callbackOf, over } = await stage(t, { database })
  await database.query(
    `create function broken() returns trigger language plpgsql as 'begin raise exception ''broken''; end'`,
  )
  await database.query(
    `create trigger broken before update on barriers for each row
    when (new.execution_id like 'bad-%' and new.callback_message is not null) execute function broken()`,
  )
  const to = await receiver(t, 204)
  for (const execution of ['bad-1', 'bad-2', 'good-1', 'good-2']) await over(execution, to.url)
  const delivery = deliveryOf(t, s)
  let looks = 0
  await until(async () => {
    looks += 1
    await delivery.leaseOnce()
    await delivery.settled()
    return to.received.length === 2
  }, 'the others are delivered')
  t.ok(looks <= 6, `${looks} looks`)
  for (const [execution, state] of [
    ['bad-1', 'due'],
    ['bad-2', 'due'],
    ['good-1', 'delivered'],
    ['good-2', 'delivered'],
  ] as const) {
    t.match((await callbackOf(execution)).body, { state })
  }
})

t.test('no callback is passed over because the database was away', async t => {
  const database = await clonedDatabase(t)
  const { s, over } = await stage(t, { database })
  const to = await receiver(t, 204)
  for (const execution of ['first', 'second']) await over(execution, to.url)
  const delivery = deliveryOf(t, s)
  await database.query('alter table barriers rename to away')
  for (let look = 0; look < 4; look += 1) t.equal(await delivery.leaseOnce(), 0)
  await database.query('alter table away rename to barriers')
  t.equal(await delivery.leaseOnce(), 2)
  await delivery.settled()
  t.equal(to.received.length, 2)
})

t.test('a last attempt whose lease ended leaves a dead callback', async t => {
  const { s, callbackOf, over } = await stage(t)
  const to = await receiver(t, hangs)
  const [first, second] = [deliveryOf(t, s, { attempt_ms: 60_000 }), deliveryOf(t, s)]
  await over('ninth', to.url)
  await s.database.query(`update barriers set callback_attempt = 8 where execution_id = 'ninth'`)
  await first.leaseOnce()
  await makeDue(s.database)
  await second.leaseOnce()
  t.match((await callbackOf('ninth')).body, {
    state: 'dead',
    attempt: 9,
    attempts: [{ attempt: 9, outcome: 'unknown' }],
  })
  t.equal(to.received.length, 1, 'it is not sent a tenth time')
})

t.test('a callback that was replaced while it was delivered cannot settle the new one', async t => {
  const { s, callbackOf, over } = await stage(t)
  const held = holds()
  const to = await receiver(t, held.act, 200)
  const delivery = deliveryOf(t, s, { attempt_ms: 60_000 })
  await over('replaced', to.url)
  await delivery.leaseOnce()
  await to.nth(1)
  const replace = { total: 1, callback: { url: to.url }, conflict_policy: 'replace' }
  t.match((await s.enqueue('replaced', replace)).body.replaced, { callback_state: 'delivering' })
  await s.decrement('replaced', { batch_index: 0 })
  const before = (await callbackOf('replaced')).body
  t.match(before, { generation: 2, state: 'due', attempt: 0, attempts: [] })
  held.release()
  await delivery.settled()
  t.strictSame((await callbackOf('replaced')).body, before)

  await delivery.leaseOnce()
  await delivery.settled()
  t.match((await callbackOf('replaced')).body, { generation: 2, state: 'delivered', attempt: 1 })
  const [old, young] = to.received.map(({ body }) => JSON.parse(body).data.generation)
  t.strictSame([old, young], [1, 2], 'receivers compare generations')
})

t.test('results beyond the inline limit are left to their URL', async t => {
  const { s } = await stage(t)
  const small = await service(t, {
    database: s.database,
    settings: {
      ROLLCALL_INLINE_RESULTS_BYTES: '200',
      ROLLCALL_PUBLIC_URL: 'https://rollcall.example',
    },
  })
  const to = await receiver(t, 204)
  const delivery = deliveryOf(t, small)
  await s.enqueue('large run/ü', { total: 3, callback: { url: to.url } })
  for (const batch_index of [2, 0, 1])
    await s.decrement('large run/ü', { batch_index, result: 'x'.repeat(50) })
  await delivery.leaseOnce()
  await delivery.settled()
  const { data } = JSON.parse(to.received[0]?.body ?? '')
  t.notOk('results' in data)
  t.equal(
    data.results_url,
    `https://rollcall.example/executions/${encodeURIComponent('large run/ü')}/batches?generation=1`,
  )
})

t.test('a loop that runs hears of a barrier that another replica closes', async t => {
  const database = await freshDatabase(t)
  const [closing, sending] = [await service(t, { database }), await service(t, { database })]
  const to = await receiver(t, 204)
  // A poll would come too late for the test.
  deliveryOf(t, sending, {}, { restMs: 3_600_000 }).start()
  await closing.enqueue('heard', { total: 0, callback: { url: to.url } })
  await to.nth(1)
  t.equal(to.received.length, 1)
})

t.test('many slow hosts keep no other host waiting', async t => {
  const { s, callbackOf, over } = await stage(t)
  const slow = await together(20, () => receiver(t, hangs))
  for (let nth = 0; nth < 8; nth += 1)
    await together(20, host => over(`slow-${host}-${nth}`, slow[host]?.url ?? ''))
  const quick = await receiver(t, 204)
  await over('quick', quick.url)
  const delivery = deliveryOf(t, s, { attempt_ms: 60_000 })
  t.equal(await delivery.leaseOnce(), 56, 'what one address is sent at once')
  await until(
    async () => (await callbackOf('quick')).body.state === 'delivered',
    'the quick one is delivered',
  )
})

t.test('a lease builds no more messages than it should, and the others are next', async t => {
  const { s } = await stage(t)
  const to = await receiver(t, 204)
  const result = 'x'.repeat(250_000)
  for (const execution of ['a', 'b', 'c']) {
    await s.enqueue(execution, { total: 16, callback: { url: to.url } })
    const batches = Array.from({ length: 16 }, (_, batch_index) => ({ batch_index, result }))
    await s.decrements(execution, { batches })
  }
  const large = await service(t, {
    database: s.database,
    settings: { ROLLCALL_INLINE_RESULTS_BYTES: '8000000' },
  })
  const delivery = deliveryOf(t, large, { attempt_ms: 15_000 })
  t.equal(await delivery.leaseOnce(), 2)
  t.equal(await delivery.leaseOnce(), 1)
  await delivery.settled()
  t.equal(to.received.length, 3)
})

t.test('the secret of a service that was given none is kept, for its owner only', async t => {
  const folder = t.testdir({})
  const [one, other] = await Promise.all([keptSecret(folder), keptSecret(folder)])
  t.equal(one, other)
  t.equal(await keptSecret(folder), one)
  t.ok(isSecret(one))
  t.equal((await stat(join(folder, 'webhook-secret'))).mode & 0o777, 0o600)
  t.strictSame(await readdir(folder), ['webhook-secret'])
})

t.test('idle polling reads nothing, however many barriers are closed', async t => {
  // Without the rows that other tests deleted.
  const database = await clonedDatabase(t)
  const idle = await service(t, { database })
  await database.query(
    `insert into barriers (execution_id, state, total, fingerprint, enqueue_nonce, closing_nonce, closed_at, expires_at,
      callback, callback_host, callback_priority, callback_events, callback_state, callback_id, callback_settled_at, callback_message)
    select 'run-' || n, 'completed', 0, '', '', '', now(), now(),
      '{"url":"https://receiver.example/","events":["completed"],"priority":5}', 'receiver.example', 5, '{completed}', 'delivered',
      'cb_' || n, now(), '{}'
    from generate_series(1, 10000) as n`,
  )
  const delivery = deliveryOf(t, idle)
  await delivery.leaseOnce()
  const blocks = async () => {
    await database.query('select pg_stat_force_next_flush()')
    const [row] = await database.query<{ blocks: number }>(
      `select (heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::integer as blocks
      from pg_statio_user_tables where relname = 'barriers'`,
    )
    return row?.blocks ?? 0
  }
  await idle.app.pg.pool.query('select pg_stat_force_next_flush()')
  const before = await blocks()
  for (let nth = 0; nth < 10; nth += 1) await delivery.leaseOnce()
  await idle.app.pg.pool.query('select pg_stat_force_next_flush()')
  t.ok(
    (await blocks()) - before < 60,
    'ten polls look at no barrier, and at a page or two of the index',
  )
})

t.test('a host has its slots however its URL is spelled', async t => {
  const { s } = await stage(t)
  const spellings = [
    'https://v.example/',
    'https://V.EXAMPLE:443/x',
    'https://v.example./',
    'https://v%2Eexample/y',
  ]
  for (const [nth, url] of spellings.entries())
    await s.enqueue(`run-${nth}`, { total: 1, callback: { url } })
  t.strictSame(await s.database.query('select distinct callback_host from barriers'), [
    { callback_host: 'v.example' },
  ])
  const odd = [
    `https://${'a'.repeat(300)}.example/`,
    `https://${'a'.repeat(64)}.example/`,
    `https://${'a.'.repeat(127)}example/`,
    `https://${'a.'.repeat(124)}exam:65535/`,
    'https://a\\b/',
    'https:///a/',
    'https://./h?token=SECRET',
    'https://../',
    'https://.../',
    'https://.example/',
    'https://a..example/',
    'https://example../',
    'https://%2E/',
    'https://\u3002/',
    `https://a'b.example/`,
    'https://a,b.example/',
    'https://a*.example/',
    'https://:443/',
    'https://@/',
    'https://user@/',
  ]
  for (const url of odd)
    t.match(await s.enqueue('odd', { total: 1, callback: { url } }), {
      status: 400,
      body: { errors: [{ path: 'callback.url' }] },
    })
})

t.test('what others send on the channel of the closings is passed over', async t => {
  const { s } = await stage(t)
  for (const payload of ['hello', 'null', '', '{"queue":1}'])
    await s.database.query(`select pg_notify('rollcall_closings', $1)`, [payload])
  const waiting = s.barrier('run', '?wait_seconds=50')
  t.equal((await waiting).status, 404)
  await s.enqueue('run', { total: 1 })
  const end = s.barrier('run', '?wait_seconds=50')
  await s.decrement('run', { batch_index: 0 })
  t.match((await end).body, { state: 'completed' })
})
