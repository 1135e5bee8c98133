import t, { type Test } from 'tap'
import { makeDue } from '../../fixtures/delivery.ts'
import { tally, together, until } from '../../fixtures/gate.ts'
import { freshDatabase } from '../../fixtures/database.ts'
import { type Service, service } from '../../fixtures/service.ts'

const pull = (s: Service, body: object) => s.call('POST', '/callbacks/claim', body)
const settle = (s: Service, execution: string, how: 'ack' | 'retry', body: object) =>
  s.call('POST', `/executions/${execution}/callback/${how}`, body)
const shown = async (s: Service, execution: string) =>
  (await s.call('GET', `/executions/${execution}/callback`)).body

/** Runs that are over, with their callbacks due in the queue `mail`, in this order. */
async function over(s: Service, ...runs: [execution: string, wish?: object][]): Promise<void> {
  for (const [execution, wish] of runs)
    await s.enqueue(execution, { total: 0, callback: { queue: 'mail', ...wish } })
}

const namesOf = ({ body }: Awaited<ReturnType<typeof pull>>): string[] =>
  body.callbacks.map(({ execution_id }: { execution_id: string }) => execution_id)

async function leased(t: Test) {
  const s = await service(t)
  await over(s, ['run'])
  const [callback] = (await pull(s, { queue: 'mail' })).body.callbacks
  return { s, callback, token: callback.token as string }
}

t.test('a puller gets the whole message, and a lease on it', async t => {
  const s = await service(t)
  const kwargs = '{"n":12345678901234567890}'
  await s.call(
    'POST',
    '/executions/run/barrier/enqueue',
    `{"total":2,"metadata":[0.10],"callback":{"queue":"mail","task_name":"send","kwargs":${kwargs}}}`,
  )
  await s.decrement('run', { batch_index: 1, result: 'b' })
  await s.call('POST', '/executions/run/barrier/decrement', '{"batch_index":0,"result":1e300}')
  const reply = await pull(s, { queue: 'mail', lease_seconds: 30 })
  t.equal(reply.status, 200)
  const [callback] = reply.body.callbacks
  const { closed_at } = (await s.barrier('run')).body
  t.match(callback, {
    execution_id: 'run',
    generation: 1,
    callback_id: /^cb_[\w-]{22}$/,
    token: /^1\.1\.[\w-]{22}$/,
    attempt: 1,
  })
  t.ok(
    reply.text.includes(
      `"message":{"type":"barrier.completed","timestamp":"${closed_at}","data":{"execution_id":"run","generation":1,` +
        `"state":"completed","reason":null,"total":2,"succeeded":2,"failed":0,"task_name":"send","kwargs":${kwargs},` +
        `"headers":null,"metadata":[0.10],"results":[{"batch_index":0,"status":"succeeded","result":1e300},` +
        `{"batch_index":1,"status":"succeeded","result":"b"}],"results_url":"/executions/run/batches?generation=1"}}`,
    ),
    'digit by digit, results in index order',
  )
  t.match(await shown(s, 'run'), {
    state: 'delivering',
    due_at: null,
    lease_expires_at: callback.lease_expires_at,
    attempt: 1,
  })
  t.strictSame((await pull(s, { queue: 'mail' })).body, { callbacks: [] })
})

t.test('the highest priority comes first, then the longest due', async t => {
  const s = await service(t)
  await over(s, ['old'], ['low', { priority: 1 }], ['high', { priority: 10 }], ['young'])
  await over(s, ['elsewhere', { queue: 'other' }])
  t.strictSame(namesOf(await pull(s, { queue: 'mail' })), ['high'], 'one when no limit is given')
  t.strictSame(namesOf(await pull(s, { queue: 'mail', limit: 2 })), ['old', 'young'])
  t.strictSame(namesOf(await pull(s, { queue: 'mail', limit: 100 })), ['low'])
})

t.test('a lease that ended makes it due again, and its token is refused', async t => {
  const { s, token, callback } = await leased(t)
  await makeDue(s.database)
  const [second] = (await pull(s, { queue: 'mail' })).body.callbacks
  t.match(second, { callback_id: callback.callback_id, attempt: 2 })
  t.not(second.token, token)
  t.strictSame(second.message, callback.message, 'invariant 9: the same message')
  t.match((await shown(s, 'run')).attempts, [
    { attempt: 1, outcome: 'unknown', error: 'lease_ended' },
  ])

  const stale = await settle(s, 'run', 'ack', { token })
  t.equal(stale.status, 409)
  t.strictSame(stale.body, {
    type: 'urn:rollcall:problem:stale_token',
    title: 'Another grant is newer than this token, or the batch is recorded.',
    status: 409,
    detail: 'Another grant is newer than this token, or the batch is recorded.',
    code: 'stale_token',
    generation: 1,
    callback_state: 'delivering',
  })
  t.match(await settle(s, 'run', 'retry', { token }), {
    status: 409,
    body: { code: 'stale_token' },
  })
  t.match(await settle(s, 'run', 'ack', { token: second.token }), { status: 200 })
})

t.test('ack, retry and redeliver, repeated and crossing', async t => {
  const ends: [calls: string, statuses: number[], state: string][] = [
    ['ack', [200], 'delivered'],
    ['ack ack', [200, 200], 'delivered'],
    ['retry', [200], 'due'],
    ['retry retry', [200, 200], 'due'],
    ['retry ack', [200, 200], 'delivered'],
    ['ack retry', [200, 409], 'delivered'],
    ['redeliver', [200], 'delivering'],
    ['redeliver ack', [200, 200], 'delivered'],
    ['ack redeliver', [200, 200], 'due'],
    ['ack redeliver redeliver', [200, 200, 200], 'due'],
    ['ack redeliver ack', [200, 200, 409], 'due'],
    ['ack redeliver retry', [200, 200, 409], 'due'],
    ['retry redeliver ack', [200, 200, 200], 'delivered'],
  ]
  for (const [calls, statuses, state] of ends) {
    const { s, token, callback } = await leased(t)
    const answers = []
    for (const call of calls.split(' '))
      answers.push(
        call === 'redeliver'
          ? await s.call('POST', '/executions/run/callback/redeliver')
          : await settle(s, 'run', call as 'ack', { token }),
      )
    t.strictSame(
      answers.map(({ status }) => status),
      statuses,
      calls,
    )
    const after = await shown(s, 'run')
    t.match(after, { state, callback_id: callback.callback_id }, calls)
    t.equal(after.settled_at === null, state !== 'delivered', calls)
    const last = answers.at(-1)
    if (last?.status === 200) t.strictSame(last.body, after, `${calls}: the reply is the callback`)
    if (state === 'due') {
      const [next] = (await pull(s, { queue: 'mail' })).body.callbacks
      t.match(next, { attempt: 2, callback_id: callback.callback_id, message: callback.message })
    }
  }
})

t.test('a retry waits as long as it says, and tells why', async t => {
  const { s, token } = await leased(t)
  const reply = await settle(s, 'run', 'retry', {
    token,
    delay_seconds: 3600,
    error: 'mail is down',
  })
  t.match(reply.body, {
    state: 'due',
    attempts: [{ attempt: 1, outcome: 'failed', error: 'mail is down', status: null }],
  })
  t.strictSame((await pull(s, { queue: 'mail' })).body.callbacks, [])
  const [row] = await s.database.query<{ seconds: number }>(
    'select extract(epoch from callback_due_at - clock_timestamp())::float as seconds from barriers',
  )
  t.ok((row?.seconds ?? 0) > 3590 && (row?.seconds ?? 0) <= 3600)
})

t.test('what has no callback to settle is refused by its name', async t => {
  const s = await service(t)
  await s.enqueue('open', { total: 1, callback: { queue: 'mail' } })
  await s.enqueue('bare', { total: 0 })
  for (const how of ['ack', 'retry', 'redeliver']) {
    const body = how === 'redeliver' ? {} : { token: '1.1.x' }
    const ask = (execution: string) =>
      s.call('POST', `/executions/${execution}/callback/${how}`, body)
    t.match(await ask('nowhere'), { status: 404, body: { code: 'execution_not_found' } })
    t.match(await ask('open'), { status: 404, body: { code: 'callback_not_found' } })
    t.match(await ask('bare'), { status: 404, body: { code: 'callback_not_found' } })
  }
})

t.test('a callback that was replaced while it was leased cannot settle the new one', async t => {
  const { s, token } = await leased(t)
  await s.enqueue('run', { total: 0, callback: { queue: 'mail' }, conflict_policy: 'replace' })
  const before = await shown(s, 'run')
  for (const how of ['ack', 'retry'] as const) {
    const { status, body } = await settle(s, 'run', how, { token })
    t.equal(status, 409)
    t.match(body, { code: 'stale_generation', generation: 2, callback_state: 'due' })
  }
  t.strictSame(await shown(s, 'run'), before)
})

t.test('the lease of a URL is nobody else’s to settle', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 0, callback: { url: 'http://127.0.0.1:9/' } })
  await s.database.query(
    `update barriers set callback_state = 'delivering', callback_token = '1.1.x', callback_attempt = 1,
      callback_leased_at = clock_timestamp(), callback_message = '{}'`,
  )
  for (const how of ['ack', 'retry'] as const)
    t.match(await settle(s, 'run', how, { token: '1.1.x' }), { body: { code: 'stale_token' } })
})

t.test('a reply carries 8 MiB, or one message that is larger', async t => {
  const s = await service(t, { settings: { ROLLCALL_INLINE_RESULTS_BYTES: '4000000' } })
  const result = 'x'.repeat(250_000)
  for (const execution of ['a', 'b', 'c', 'd']) {
    await s.enqueue(execution, { total: 15, callback: { queue: 'mail' } })
    const batches = Array.from({ length: 15 }, (_, batch_index) => ({ batch_index, result }))
    await s.decrements(execution, { batches })
  }
  t.strictSame(namesOf(await pull(s, { queue: 'mail', limit: 100 })), ['a', 'b'])
  await makeDue(s.database)
  t.strictSame(namesOf(await pull(s, { queue: 'mail', limit: 100 })), ['c', 'd'], 'still due')
})

t.test('an expired run says what is missing, with last owner and attempt', async t => {
  const s = await service(t)
  await s.enqueue('late', {
    total: 5,
    tolerated_failure_count: 1,
    callback: { queue: 'mail', events: ['expired'] },
  })
  await s.claim('late', 3, { owner: 'worker-7' })
  await s.decrement('late', { batch_index: 1, result: 1 })
  await s.decrement('late', { batch_index: 2, status: 'failed', error: 'e' })
  await s.database.query('update barriers set expires_at = clock_timestamp()')
  await s.app.reaper.expireOnce()
  const [callback] = (await pull(s, { queue: 'mail', limit: 9 })).body.callbacks
  t.match(callback.message, { type: 'barrier.expired', data: { execution_id: 'late' } })
  t.strictSame(callback.message.data.missing, [
    { batch_index: 0, owner: null, attempt: 0 },
    { batch_index: 3, owner: 'worker-7', attempt: 1 },
    { batch_index: 4, owner: null, attempt: 0 },
  ])
  t.strictSame(callback.message.data.results, [
    { batch_index: 1, status: 'succeeded', result: 1 },
    { batch_index: 2, status: 'failed', error: 'e' },
  ])
})

t.test('missing names the first 1,000 batches', async t => {
  const s = await service(t)
  await s.enqueue('run', { total: 5000, callback: { queue: 'mail', events: ['expired'] } })
  await s.decrements('run', { batches: [{ batch_index: 1 }, { batch_index: 4000 }] })
  await s.database.query('update barriers set expires_at = clock_timestamp()')
  await s.app.reaper.expireOnce()
  const [callback] = (await pull(s, { queue: 'mail' })).body.callbacks
  const missing = callback.message.data.missing.map((m: { batch_index: number }) => m.batch_index)
  t.strictSame(missing, [0, ...Array.from({ length: 999 }, (_, nth) => nth + 2)])
})

t.test('results_url is where encodeURIComponent would have it', async t => {
  const s = await service(t)
  const ids = ['a/b?c#d%20 e', 'ünï ☃ 𝄞', "-_.!~*'()", '…', 'a+b&c=d', '"\\<>']
  for (const id of ids) await over(s, [id])
  const { body } = await pull(s, { queue: 'mail', limit: 100 })
  t.strictSame(
    body.callbacks.map(
      (c: { message: { data: { results_url: string } } }) => c.message.data.results_url,
    ),
    ids.map(id => `/executions/${encodeURIComponent(id)}/batches?generation=1`),
  )
})

t.test('who waits is answered when a barrier closes, in whichever replica', async t => {
  const database = await freshDatabase(t)
  const [one, other] = [await service(t, { database }), await service(t, { database })]
  await one.enqueue('run', { total: 1, callback: { queue: 'mail' } })
  let answered = 0
  const waiters = together(20, async nth => {
    const names = namesOf(await pull(nth % 2 ? one : other, { queue: 'mail', wait_seconds: 50 }))
    answered += names.length
    return names
  })
  const elsewhere = pull(one, { queue: 'other', wait_seconds: 50 })
  await other.decrement('run', { batch_index: 0 })
  await until(() => answered === 1, 'one of those who wait has it')
  await one.app.pulls.drain()
  await other.app.pulls.drain()
  t.strictSame(tally((await waiters).map(String)), { '': 19, run: 1 }, 'one of them has it')
  t.strictSame((await elsewhere).body, { callbacks: [] }, 'a drain answers early')
})
