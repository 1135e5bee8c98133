import { oneof, sample, string } from 'fast-check'
import t from 'tap'
import { unseenIn } from '../../../src/unseen.ts'
import { type Service, service } from '../../fixtures/service.ts'

const s = await service(t)

const messageOf = async (on: Service, queue: string) => {
  const { body, text } = await on.pull(queue)
  const [{ message }] = body.callbacks
  return { message, text }
}

const messageIn = (text: string) => text.slice(text.indexOf('"message":'))

/** Closes a barrier as the reaper does. */
const expire = (execution: string) =>
  s.database.query(
    `update barriers
    set state = 'expired', reason = 'Too late.', closed_at = clock_timestamp(), closing_nonce = 'c-' || execution_id,
      callback_state = 'due', callback_id = 'cb_' || execution_id, callback_due_at = clock_timestamp()
    where execution_id = $1`,
    [execution],
  )

t.test('the message has what design §6 says, results in index order', async t => {
  const callback = {
    queue: 'whole',
    events: ['completed', 'aborted'],
    task_name: 'send',
    kwargs: { b: 1, a: [2] },
    headers: { h: 'x' },
  }
  await s.enqueue('whole', {
    total: 3,
    callback,
    metadata: { m: 1 },
    tolerated_failure_count: 1,
  })
  await s.decrement('whole', { batch_index: 2, result: [1, 2] })
  await s.decrement('whole', { batch_index: 0 })
  await s.decrement('whole', { batch_index: 1, status: 'failed', error: { why: 'so' } })
  const { message } = await messageOf(s, 'whole')
  t.strictSame(message, {
    type: 'barrier.completed',
    timestamp: (await s.barrier('whole')).body.closed_at,
    data: {
      execution_id: 'whole',
      generation: 1,
      state: 'completed',
      reason: null,
      total: 3,
      succeeded: 2,
      failed: 1,
      task_name: 'send',
      kwargs: { b: 1, a: [2] },
      headers: { h: 'x' },
      metadata: { m: 1 },
      results: [
        { batch_index: 0, status: 'succeeded', result: null },
        { batch_index: 1, status: 'failed', error: { why: 'so' } },
        { batch_index: 2, status: 'succeeded', result: [1, 2] },
      ],
      results_url: '/executions/whole/batches?generation=1',
    },
  })
  t.strictSame(Object.keys(message.data), [
    'execution_id',
    'generation',
    'state',
    'reason',
    'total',
    'succeeded',
    'failed',
    'task_name',
    'kwargs',
    'headers',
    'metadata',
    'results',
    'results_url',
  ])
})

t.test('what the producer did not give is null, and an abort has its reason', async t => {
  await s.enqueue('bare', { total: 2, callback: { queue: 'bare', events: ['aborted'] } })
  await s.abort('bare', { reason: 'No "more" é.' })
  const { message } = await messageOf(s, 'bare')
  t.match(message, { type: 'barrier.aborted' })
  t.strictSame(message.data, {
    execution_id: 'bare',
    generation: 1,
    state: 'aborted',
    reason: 'No "more" é.',
    total: 2,
    succeeded: 0,
    failed: 0,
    task_name: null,
    kwargs: null,
    headers: null,
    metadata: null,
    results: [],
    results_url: '/executions/bare/batches?generation=1',
  })
})

t.test('the JSON of callers is in it digit by digit', async t => {
  const json = '{"z":12345678901234567890,"a":[0.10,1e300,1E5,-0],"z2":"é/"}'
  await s.call(
    'POST',
    '/executions/digits/barrier/enqueue',
    `{"total":1,"metadata":${json},"callback":{"queue":"digits","kwargs":${json},"headers":${json}}}`,
  )
  await s.call('POST', '/executions/digits/barrier/decrement', `{"batch_index":0,"result":${json}}`)
  const { text } = await messageOf(s, 'digits')
  for (const name of ['metadata', 'kwargs', 'headers', 'result']) {
    t.ok(text.includes(`"${name}":${json}`), name)
  }
})

t.test(
  'an expired one names the first thousand that are missing, with last owner and attempt',
  async t => {
    await s.enqueue('expired', { total: 5, callback: { queue: 'expired', events: ['expired'] } })
    await s.claim('expired', 1, { owner: 'worker "7"', lease_seconds: 60 })
    const { body } = await s.claim('expired', 4, { owner: 'gone' })
    await s.release('expired', 4, body.token)
    await s.decrement('expired', { batch_index: 0 })
    await s.decrement('expired', { batch_index: 3 })
    await expire('expired')
    const { message } = await messageOf(s, 'expired')
    t.match(message, { type: 'barrier.expired', data: { state: 'expired', reason: 'Too late.' } })
    t.strictSame(message.data.missing, [
      { batch_index: 1, owner: 'worker "7"', attempt: 1 },
      { batch_index: 2, owner: null, attempt: 0 },
      { batch_index: 4, owner: 'gone', attempt: 1 },
    ])

    await s.enqueue('many', { total: 5000, callback: { queue: 'many', events: ['expired'] } })
    await s.decrement('many', { batch_index: 10 })
    await expire('many')
    const { missing } = (await messageOf(s, 'many')).message.data
    const indexes = missing.map(({ batch_index }: { batch_index: number }) => batch_index)
    t.strictSame(
      indexes,
      Array.from({ length: 1001 }, (_, index) => index).filter(index => index !== 10),
    )
  },
)

t.test('the first missing are named however many there are', async t => {
  const large = await service(t, { settings: { ROLLCALL_TOTAL_LIMIT: '10000000' } })
  const thousand = Array.from({ length: 1000 }, (_, index) => index)
  const missingOf = async (execution: string, batches: number[]) => {
    const callback = { queue: execution, events: ['expired'] }
    await large.enqueue(execution, { total: 10_000_000, callback })
    for (const batch_index of batches) await large.decrement(execution, { batch_index })
    await large.database.query(
      `update barriers set state = 'expired', reason = 'Too late.', closed_at = clock_timestamp(), closing_nonce = 'n',
        callback_state = 'due', callback_id = 'cb_' || execution_id, callback_due_at = clock_timestamp()
      where execution_id = $1`,
      [execution],
    )
    const { message } = await messageOf(large, execution)
    return message.data.missing.map(({ batch_index }: { batch_index: number }) => batch_index)
  }
  t.strictSame(await missingOf('none', []), thousand)
  t.strictSame(
    await missingOf('first', [0, 1, 2]),
    thousand.map(index => index + 3),
  )
  t.strictSame(await missingOf('last', [9_999_999]), thousand)
  t.strictSame(await missingOf('holes', [1, 500]), [
    0,
    ...thousand.slice(2, 500),
    ...thousand.slice(501),
    1000,
    1001,
  ])
})

t.test('results are inline up to the limit, beyond it at results_url, the same', async t => {
  // Two results and 64 bytes around each.
  const settings = { ROLLCALL_INLINE_RESULTS_BYTES: String(2 * 64 + 20) }
  const tight = await service(t, { database: s.database, settings })
  const results: Record<string, [string, string]> = {
    within: ['"12345678"', '"1234567\\u0041"'.replace('\\u0041', '8')],
    beyond: ['"12345678"', '0.12345678e0'],
  }
  for (const [execution, both] of Object.entries(results)) {
    await s.enqueue(execution, { total: 2, callback: { queue: execution } })
    for (const [index, result] of both.entries()) {
      const body = `{"batch_index":${index},"result":${result}}`
      await s.call('POST', `/executions/${execution}/barrier/decrement`, body)
    }
  }
  t.equal((await messageOf(tight, 'within')).message.data.results.length, 2)
  const { message } = await messageOf(tight, 'beyond')
  t.notOk('results' in message.data)

  const first = await s.call('GET', `${message.data.results_url}&limit=1`)
  t.ok(first.text.includes('"result":"12345678"'))
  const second = await s.call('GET', `${message.data.results_url}&cursor=${first.body.next_cursor}`)
  t.ok(second.text.includes('"result":0.12345678e0'))
  t.equal(second.body.next_cursor, null)
})

t.test('inline results are those that results_url has', async t => {
  await s.enqueue('both', { total: 40, tolerated_failure_count: 40, callback: { queue: 'both' } })
  const batches = Array.from({ length: 40 }, (_, batch_index) =>
    batch_index % 3 === 0
      ? { batch_index, status: 'failed', error: { batch_index } }
      : { batch_index, result: batch_index / 7 },
  )
  await s.decrements('both', { batches: batches.toReversed() })
  const { message } = await messageOf(s, 'both')
  const pages: Record<string, unknown>[] = []
  for (let query = '&limit=7'; ;) {
    const { body } = await s.call('GET', message.data.results_url + query)
    pages.push(...body.data)
    if (body.next_cursor === null) break
    query = `&limit=7&cursor=${body.next_cursor}`
  }
  const paged = pages.map(({ batch_index, state: status, result, error }) =>
    status === 'failed' ? { batch_index, status, error } : { batch_index, status, result },
  )
  t.strictSame(message.data.results, paged)
})

t.test('it is built once: neither settings nor time change it', async t => {
  await s.enqueue('once', { total: 1, callback: { queue: 'once' } })
  await s.decrement('once', { batch_index: 0, result: 1 })
  const first = await s.pull('once')
  const settings = {
    ROLLCALL_INLINE_RESULTS_BYTES: '0',
    ROLLCALL_PUBLIC_URL: 'https://rollcall.example/api',
  }
  const elsewhere = await service(t, { database: s.database, settings })
  await s.retry('once', first.body.callbacks[0].token)
  const second = await elsewhere.pull('once')
  t.equal(messageIn(second.text), messageIn(first.text))

  await s.enqueue('absolute', { total: 0, callback: { queue: 'absolute' } })
  const { message } = await messageOf(elsewhere, 'absolute')
  t.equal(
    message.data.results_url,
    'https://rollcall.example/api/executions/absolute/batches?generation=1',
  )
})

t.test('results_url names every id as encodeURIComponent does', async t => {
  const anyId = oneof(
    string({ unit: 'binary', minLength: 1, maxLength: 60 }),
    string({ unit: 'binary-ascii', minLength: 1, maxLength: 60 }),
    string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
  ).filter(id => id.isWellFormed() && unseenIn(id) === undefined && Buffer.byteLength(id) <= 255)
  const ids = [
    ...sample(anyId, 500),
    ...Array.from({ length: 95 }, (_, nth) => String.fromCharCode(32 + nth)),
  ]
  const rows = await s.database.query<{ id: string; encoded: string }>(
    `select id, percent_encoded(id) as encoded from unnest($1::text[]) as id`,
    [ids],
  )
  t.equal(rows.length, ids.length)
  t.strictSame(
    rows.filter(({ id, encoded }) => encoded !== encodeURIComponent(id)),
    [],
  )
  const odd = 'a/b?c#d%e é😀+&="\\'
  await s.enqueue(odd, { total: 0, callback: { queue: 'odd' } })
  const { message } = await messageOf(s, 'odd')
  t.equal(message.data.execution_id, odd)
  t.equal(message.data.results_url, `/executions/${encodeURIComponent(odd)}/batches?generation=1`)
  t.equal((await s.call('GET', message.data.results_url)).status, 200)
})
