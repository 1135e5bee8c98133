import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const rowOf = async (execution: string) => {
  const [row] = await s.database.query('select * from barriers where execution_id = $1', [
    execution,
  ])
  return row
}

const problemOf = (code: string, status: number, title: string) => ({
  type: `urn:rollcall:problem:${code}`,
  title,
  status,
  detail: title,
  code,
})
const mismatch = problemOf(
  'enqueue_mismatch',
  422,
  'The barrier, or the Idempotency-Key, exists with other content.',
)
const exists = problemOf('barrier_exists', 409, 'The execution already has a barrier.')
const stale = problemOf(
  'stale_generation',
  409,
  'A newer run of this execution is current; this call belongs to an older one.',
)

t.test('enqueue creates a barrier and says where it is', async t => {
  const { status, headers, body } = await s.enqueue('a b/ö', { total: 3 })
  t.equal(status, 201)
  t.equal(headers['location'], '/executions/a%20b%2F%C3%B6/barrier')
  t.strictSame(body, {
    outcome: 'created',
    execution_id: 'a b/ö',
    generation: 1,
    state: 'open',
    total: 3,
    succeeded: 0,
    failed: 0,
    remaining: 3,
    created_at: body.created_at,
    expires_at: body.expires_at,
    callback: { state: 'none' },
    replaced: null,
  })
  t.equal((await s.call('GET', String(headers['location']))).body.total, 3)
  t.match(await rowOf('a b/ö'), {
    stuck_after_seconds: 9000,
    tolerated_failure_count: 0,
    max_attempts: null,
    metadata: null,
    callback: null,
  })
  const [expiry] = await s.database.query(
    `select expires_at - created_at between interval '21599 s' and interval '21601 s' as fits
     from barriers where execution_id = 'a b/ö'`,
  )
  t.strictSame(expiry, { fits: true })
})

t.test('a total of 0 completes at once, with its callback due if that was wanted', async t => {
  const { status, body } = await s.enqueue('zero', { total: 0, callback: { queue: 'q' } })
  t.equal(status, 201)
  t.strictSame(body, {
    outcome: 'created',
    execution_id: 'zero',
    generation: 1,
    state: 'completed',
    total: 0,
    succeeded: 0,
    failed: 0,
    remaining: 0,
    created_at: body.created_at,
    expires_at: body.expires_at,
    callback: { state: 'due' },
    replaced: null,
  })
  t.type((await s.barrier('zero')).body.closed_at, 'string')
  await s.enqueue('zero-aborted', { total: 0, callback: { queue: 'q', events: ['aborted'] } })
  t.match((await s.barrier('zero-aborted')).body, {
    state: 'completed',
    callback: { state: 'none' },
  })
  t.equal((await s.claim('zero', 0)).body.code, 'batch_out_of_range')
  t.equal((await s.abort('zero')).body.outcome, 'already_closed')
})

t.test('use_existing returns the same content as it is, open or closed', async t => {
  const content = { total: 2, callback: { queue: 'q' }, metadata: { a: 1 } }
  const created = await s.enqueue('same', content)
  await s.decrement('same', { batch_index: 0 })
  const before = await rowOf('same')
  const expected = { ...created.body, outcome: 'existing', succeeded: 1, remaining: 1 }
  for (const again of [content, { ...content, conflict_policy: 'use_existing' }]) {
    const { status, headers, body } = await s.enqueue('same', again)
    t.equal(status, 200)
    t.equal(headers['location'], undefined)
    t.strictSame(body, expected)
  }
  t.strictSame(await rowOf('same'), before, 'nothing is reset')

  await s.decrement('same', { batch_index: 1 })
  const closed = await s.enqueue('same', content)
  t.equal(closed.status, 200)
  t.strictSame(closed.body, {
    ...created.body,
    outcome: 'existing',
    state: 'completed',
    succeeded: 2,
    remaining: 0,
    callback: { state: 'due' },
  })
})

t.test('content is every field, after defaults and in any order', async t => {
  await s.enqueue('defaults', { total: 10, callback: { queue: 'q' } })
  const same = [
    { callback: { queue: 'q' }, total: 10 },
    { total: 10, callback: { queue: 'q', events: ['completed'], priority: 5 } },
    {
      conflict_policy: 'use_existing',
      total: 10,
      expires_in_seconds: 21_600,
      stuck_after_seconds: 9_000,
      tolerated_failure_count: 0,
      metadata: null,
      callback: { priority: 5, events: ['completed'], queue: 'q', kwargs: null, headers: null },
    },
    { total: 10, tolerated_failure_percentage: 0, callback: { queue: 'q' } },
    { total: 10, tolerated_failure_percentage: 9, callback: { queue: 'q' } },
  ]
  for (const content of same) {
    t.match(await s.enqueue('defaults', content), { status: 200, body: { outcome: 'existing' } })
  }
  t.equal(
    (
      await s.call(
        'POST',
        '/executions/defaults/barrier/enqueue',
        '{"total":1e1,"callback":{"queue":"q"}}',
      )
    ).status,
    200,
    'numbers are judged by value',
  )
})

t.test('other content of any field is a mismatch and changes nothing', async t => {
  const content = {
    total: 10,
    callback: { queue: 'q', events: ['completed', 'aborted'], kwargs: { a: 0.1 } },
    metadata: { a: 1 },
    max_attempts: 3,
    tolerated_failure_count: 1,
  }
  await s.enqueue('other', content)
  const before = await rowOf('other')
  const others = [
    { total: 11 },
    { max_attempts: 4 },
    { max_attempts: undefined },
    { tolerated_failure_count: 2 },
    { expires_in_seconds: 21_601 },
    { stuck_after_seconds: 9_001 },
    { metadata: { a: 2 } },
    { metadata: undefined },
    { callback: undefined },
    { callback: { ...content.callback, queue: 'other' } },
    { callback: { ...content.callback, events: ['completed'] } },
    { callback: { ...content.callback, priority: 6 } },
    { callback: { ...content.callback, kwargs: { a: 0.2 } } },
    { callback: { ...content.callback, headers: {} } },
    { callback: { ...content.callback, task_name: 't' } },
    { callback: { ...content.callback, queue: undefined, url: 'http://127.0.0.1/q' } },
  ]
  for (const other of others) {
    const { status, body } = await s.enqueue('other', { ...content, ...other })
    t.equal(status, 422, JSON.stringify(other))
    t.strictSame(body, { ...mismatch, generation: 1, state: 'open' })
  }
  t.equal(
    (
      await s.enqueue('other', {
        ...content,
        callback: { ...content.callback, events: ['aborted', 'completed'] },
      })
    ).status,
    200,
    'events are a set',
  )
  t.strictSame(await rowOf('other'), before)
})

t.test('fail refuses whatever is there, in any state', async t => {
  const content = { total: 1, conflict_policy: 'fail' }
  t.equal((await s.enqueue('fail', content)).status, 201)
  const open = await s.enqueue('fail', content)
  t.equal(open.status, 409)
  t.strictSame(open.body, { ...exists, generation: 1, state: 'open' })
  await s.abort('fail')
  const closed = await s.enqueue('fail', { total: 2, conflict_policy: 'fail' })
  t.equal(closed.status, 409)
  t.strictSame(closed.body, { ...exists, generation: 1, state: 'aborted' })
})

t.test('replace starts a new generation and names what it ended', async t => {
  await s.enqueue('replace', { total: 3, callback: { queue: 'q' } })
  await s.claim('replace', 1)
  await s.decrement('replace', { batch_index: 0, result: 'old' })
  const content = { total: 2, metadata: 'new', conflict_policy: 'replace' }
  const { status, headers, body } = await s.enqueue('replace', content)
  t.equal(status, 201)
  t.equal(headers['location'], '/executions/replace/barrier')
  t.strictSame(body, {
    outcome: 'created',
    execution_id: 'replace',
    generation: 2,
    state: 'open',
    total: 2,
    succeeded: 0,
    failed: 0,
    remaining: 2,
    created_at: body.created_at,
    expires_at: body.expires_at,
    callback: { state: 'none' },
    replaced: { generation: 1, state: 'open', remaining: 2, callback_state: 'none' },
  })
  t.match(await rowOf('replace'), { callback: null, metadata: 'new', result_bytes: '0' })
  t.match((await s.claim('replace', 0)).body, { outcome: 'granted', generation: 2, attempt: 1 })
  t.match((await s.claim('replace', 1)).body, { outcome: 'granted', generation: 2, attempt: 1 })
})

t.test('replace drops a callback that was not yet sent', async t => {
  await s.enqueue('drop', { total: 1, callback: { queue: 'q' } })
  await s.decrement('drop', { batch_index: 0 })
  const { callback_id: old } = (await s.call('GET', '/executions/drop/callback')).body
  const { body } = await s.enqueue('drop', {
    total: 1,
    callback: { queue: 'q' },
    conflict_policy: 'replace',
  })
  t.strictSame(body.replaced, {
    generation: 1,
    state: 'completed',
    remaining: 0,
    callback_state: 'due',
  })
  t.strictSame(body.callback, { state: 'none' })
  t.match(await rowOf('drop'), { callback_state: 'none', callback_id: null, reason: null })
  await s.decrement('drop', { batch_index: 0 })
  const { callback_id } = (await s.call('GET', '/executions/drop/callback')).body
  t.type(callback_id, 'string')
  t.not(callback_id, old, 'one callback per generation, each with an id of its own')
})

t.test('replace of nothing creates the first generation', async t => {
  const { status, body } = await s.enqueue('nothing', { total: 1, conflict_policy: 'replace' })
  t.equal(status, 201)
  t.match(body, { generation: 1, replaced: null })
})

t.test('replace with a generation replaces only that one', async t => {
  const replace = { total: 1, conflict_policy: 'replace' }
  await s.enqueue('only', { total: 1 })
  t.match((await s.enqueue('only', { ...replace, generation: 1 })).body, { generation: 2 })
  for (const generation of [1, 3]) {
    const { status, body } = await s.enqueue('only', { ...replace, generation })
    t.equal(status, 409)
    t.strictSame(body, { ...stale, generation: 2, state: 'open' })
  }
  t.match(await rowOf('only'), { generation: 2 })
  const absent = await s.enqueue('only-absent', { ...replace, generation: 1 })
  t.equal(absent.status, 404)
  t.equal(absent.body.code, 'execution_not_found')
  t.equal(await rowOf('only-absent'), undefined)
})

t.test('a replace of total 0 completes at once', async t => {
  await s.enqueue('replace-zero', { total: 5 })
  const { body } = await s.enqueue('replace-zero', {
    total: 0,
    callback: { queue: 'q' },
    conflict_policy: 'replace',
  })
  t.match(body, { generation: 2, state: 'completed', callback: { state: 'due' } })
})

t.test('a known key with the same content is a replay under every policy', async t => {
  for (const first of ['use_existing', 'fail', 'replace']) {
    const execution = `key-${first}`
    const created = await s.enqueue(execution, { total: 1, conflict_policy: first }, 'k')
    t.equal(created.status, 201)
    const before = await rowOf(execution)
    for (const policy of ['use_existing', 'fail', 'replace']) {
      const { status, body } = await s.enqueue(
        execution,
        { total: 1, conflict_policy: policy },
        'k',
      )
      t.equal(status, 200)
      t.strictSame(body, { ...created.body, outcome: 'existing' })
    }
    t.strictSame(await rowOf(execution), before)
  }
})

t.test('a known key with other content is a mismatch under every policy', async t => {
  await s.enqueue('key-other', { total: 1 }, 'k')
  for (const conflict_policy of ['use_existing', 'fail', 'replace']) {
    const { status, body } = await s.enqueue('key-other', { total: 2, conflict_policy }, 'k')
    t.equal(status, 422)
    t.strictSame(body, { ...mismatch, generation: 1, state: 'open' })
  }
  t.match(await rowOf('key-other'), { generation: 1, total: 1 })
})

t.test('a replay of a replace starts no further generation', async t => {
  await s.enqueue('key-replace', { total: 1 }, 'first')
  const replace = { total: 2, conflict_policy: 'replace' }
  t.match((await s.enqueue('key-replace', replace, 'second')).body, { generation: 2 })
  const replay = await s.enqueue('key-replace', replace, 'second')
  t.equal(replay.status, 200)
  t.match(replay.body, { outcome: 'existing', generation: 2 })
  t.match((await s.enqueue('key-replace', { ...replace, generation: 1 }, 'second')).body, {
    outcome: 'existing',
    generation: 2,
  })
  t.match(
    (await s.enqueue('key-replace', replace)).body,
    { generation: 3 },
    'without a key it does',
  )
})

t.test('a key of a replaced generation is stale under every policy', async t => {
  await s.enqueue('key-old', { total: 1 }, 'first')
  await s.enqueue('key-old', { total: 1, conflict_policy: 'replace' }, 'second')
  for (const conflict_policy of ['use_existing', 'fail', 'replace']) {
    for (const total of [1, 2]) {
      const { status, body } = await s.enqueue('key-old', { total, conflict_policy }, 'first')
      t.equal(status, 409)
      t.strictSame(body, { ...stale, generation: 2, state: 'open' })
    }
  }
  t.match(await rowOf('key-old'), { generation: 2 })
})

t.test('the keys of the last 32 replaced generations are remembered', async t => {
  const replace = { total: 1, conflict_policy: 'replace' }
  for (let generation = 1; generation <= 33; generation += 1) {
    await s.enqueue('memory', replace, `key-${generation}`)
  }
  // 33 is current, 1 to 32 are replaced.
  t.equal((await s.enqueue('memory', replace, 'key-1')).body.code, 'stale_generation')
  await s.enqueue('memory', replace, 'key-34')
  t.equal((await s.enqueue('memory', { total: 1 }, 'key-1')).status, 200, 'the 33rd is forgotten')
  t.equal((await s.enqueue('memory', replace, 'key-2')).body.code, 'stale_generation')
  t.match(await rowOf('memory'), { generation: 34 })
})

t.test(
  'claims made before the first enqueue belong to generation 0 and do not block it',
  async t => {
    const { body: claim } = await s.claim('before', 0)
    const { body: finished } = await s.claim('before', 1)
    await s.finish('before', 1, { token: finished.token })
    t.match((await s.enqueue('before', { total: 2 })).body, {
      outcome: 'created',
      generation: 1,
      replaced: null,
    })
    t.match((await s.claim('before', 0)).body, { outcome: 'granted', generation: 1 })
    t.match((await s.claim('before', 1)).body, { outcome: 'granted', generation: 1 })
    t.match(claim, { generation: 0 })
  },
)

t.test('an enqueue that waited for another to create the same barrier finds it', async t => {
  await s.enqueue('template', { total: 1 })
  const other = await s.database.pool.connect()
  t.teardown(() => other.release())
  const createSlowly = async (execution: string, ask: object) => {
    await other.query('begin')
    await other.query(
      `insert into barriers (execution_id, total, fingerprint, enqueue_nonce, expires_at)
       select $1, total, fingerprint, 'somebody else', expires_at
       from barriers where execution_id = 'template'`,
      [execution],
    )
    const waiting = s.enqueue(execution, ask)
    while (await nobodyWaits()) await setImmediate()
    await other.query('commit')
    return waiting
  }
  t.match(await createSlowly('slow-1', { total: 1 }), {
    status: 200,
    body: { outcome: 'existing', generation: 1 },
  })
  t.match(await createSlowly('slow-2', { total: 2 }), {
    status: 422,
    body: { code: 'enqueue_mismatch' },
  })
  t.match(await createSlowly('slow-3', { total: 1, conflict_policy: 'fail' }), {
    status: 409,
    body: { code: 'barrier_exists' },
  })
  t.match(await createSlowly('slow-4', { total: 1, conflict_policy: 'replace' }), {
    status: 201,
    body: { outcome: 'created', generation: 2 },
  })
})

t.test('a replace of one generation that waited for another replace of it is stale', async t => {
  await s.enqueue('both', { total: 1 })
  const other = await s.database.pool.connect()
  t.teardown(() => other.release())
  await other.query('begin')
  await other.query(
    `update barriers set generation = 2, enqueue_nonce = 'somebody else' where execution_id = 'both'`,
  )
  const waiting = s.enqueue('both', { total: 1, conflict_policy: 'replace', generation: 1 })
  while (await nobodyWaits()) await setImmediate()
  await other.query('commit')
  const { status, body } = await waiting
  t.equal(status, 409)
  t.match(body, { code: 'stale_generation', generation: 2 })
})

t.test('of concurrent enqueues one creates and the rest find it', async t => {
  const replies = await Promise.all(
    Array.from({ length: 30 }, () => s.enqueue('concurrent', { total: 1 })),
  )
  t.strictSame(
    replies.map(({ status }) => status).toSorted((a, b) => a - b),
    [...Array.from({ length: 29 }, () => 200), 201],
  )
})

t.test('each field has its bounds', async t => {
  const right = [
    { total: 1_000_000 },
    { total: 1, expires_in_seconds: 1, stuck_after_seconds: 1 },
    { total: 1, expires_in_seconds: 2_592_000 },
    { total: 1, tolerated_failure_percentage: 100 },
    { total: 1, tolerated_failure_count: 5 },
    { total: 1, max_attempts: 1 },
    { total: 1, callback: { queue: 'q'.repeat(255), priority: 1 } },
    { total: 1, callback: { queue: 'q', priority: 10 } },
  ]
  for (const [position, body] of right.entries()) {
    t.equal((await s.enqueue(`right-${position}`, body)).status, 201, JSON.stringify(body))
  }
  const wrong: [path: string, body: object][] = [
    ['total', {}],
    ['total', { total: -1 }],
    ['total', { total: 1.5 }],
    ['total', { total: '3' }],
    ['total', { total: null }],
    ['total', { total: [4] }],
    ['total', { total: true }],
    ['total', { total: 1_000_001 }],
    ['total', { total: 10_000_001 }],
    ['expires_in_seconds', { total: 1, expires_in_seconds: 0 }],
    ['expires_in_seconds', { total: 1, expires_in_seconds: 2_592_001 }],
    ['stuck_after_seconds', { total: 1, stuck_after_seconds: 0 }],
    ['tolerated_failure_count', { total: 1, tolerated_failure_count: -1 }],
    ['tolerated_failure_percentage', { total: 1, tolerated_failure_percentage: 101 }],
    ['tolerated_failure_percentage', { total: 1, tolerated_failure_percentage: 0.5 }],
    [
      'tolerated_failure_percentage',
      { total: 1, tolerated_failure_count: 0, tolerated_failure_percentage: 0 },
    ],
    ['max_attempts', { total: 1, max_attempts: 0 }],
    ['conflict_policy', { total: 1, conflict_policy: 'merge' }],
    ['generation', { total: 1, conflict_policy: 'replace', generation: 0 }],
    ['callback', { total: 1, callback: {} }],
    ['callback', { total: 1, callback: { url: 'http://127.0.0.1', queue: 'q' } }],
    ['callback', { total: 1, callback: 'q' }],
    ['callback.queue', { total: 1, callback: { queue: '' } }],
    ['callback.queue', { total: 1, callback: { queue: 'ö'.repeat(128) } }],
    ['callback.events', { total: 1, callback: { queue: 'q', events: [] } }],
    ['callback.events', { total: 1, callback: { queue: 'q', events: ['aborted', 'aborted'] } }],
    ['callback.events.0', { total: 1, callback: { queue: 'q', events: ['opened'] } }],
    ['callback.priority', { total: 1, callback: { queue: 'q', priority: 11 } }],
    ['callback.priority', { total: 1, callback: { queue: 'q', priority: 0 } }],
    ['callback.url', { total: 1, callback: { url: 'ftp://127.0.0.1' } }],
    ['callback.url', { total: 1, callback: { url: '/relative' } }],
    ['callback.extra', { total: 1, callback: { queue: 'q', extra: 1 } }],
    ['extra', { total: 1, extra: 1 }],
  ]
  for (const [path, body] of wrong) {
    const reply = await s.enqueue('wrong', body)
    t.equal(reply.status, 400, JSON.stringify(body))
    t.match(reply.body, { code: 'invalid_request', errors: [{ path }] })
  }
  t.equal(await rowOf('wrong'), undefined)
})

t.test('a callback holds no text that Postgres cannot store', async t => {
  for (const odd of ['\0', '\ud800']) {
    for (const member of ['url', 'queue', 'task_name']) {
      const callback = {
        ...(member === 'task_name' ? { queue: 'q' } : {}),
        [member]: `http://127.0.0.1/${odd}`,
      }
      const { status, body } = await s.enqueue('odd-callback', { total: 1, callback })
      t.equal(status, 400, member)
      t.match(body, { code: 'invalid_request', errors: [{ path: `callback.${member}` }] })
    }
    const { status, body } = await s.enqueue('odd-callback', {
      total: 1,
      callback: { queue: 'q', kwargs: { [odd]: 1 } },
    })
    t.equal(status, 422)
    t.match(body, { code: 'unstorable_json', errors: [{ path: 'callback.kwargs' }] })
  }
  t.equal(await rowOf('odd-callback'), undefined)
})

t.test('metadata is any JSON to 64 KiB and comes back digit by digit', async t => {
  const metadata = '{"z":12345678901234567890,"a":[0.10,1e300,null]}'
  await s.call('POST', '/executions/meta/barrier/enqueue', `{"total":1,"metadata":${metadata}}`)
  t.ok((await s.barrier('meta')).text.includes(`"metadata":${metadata}`))
  t.equal((await s.enqueue('meta-fits', { total: 1, metadata: 'x'.repeat(65_534) })).status, 201)
  const { status, body } = await s.enqueue('meta-long', { total: 1, metadata: 'x'.repeat(65_535) })
  t.equal(status, 413)
  t.match(body, { code: 'payload_too_large', errors: [{ path: 'metadata' }] })
  t.equal(await rowOf('meta-long'), undefined)
})

t.test('kwargs and headers have 64 KiB together', async t => {
  const half = 'x'.repeat(32_766)
  const callback = { queue: 'q', kwargs: half, headers: half }
  t.equal((await s.enqueue('data-fits', { total: 1, callback })).status, 201)
  const long = await s.enqueue('data-long', {
    total: 1,
    callback: { ...callback, kwargs: `${half}x` },
  })
  t.ok([400, 413].includes(long.status), String(long.status))
  t.equal(await rowOf('data-long'), undefined)
})

t.test('the limit of total is a setting', async t => {
  const small = await service(t, {
    database: s.database,
    settings: { ROLLCALL_TOTAL_LIMIT: '5' },
  })
  t.equal((await small.enqueue('limit-fits', { total: 5 })).status, 201)
  const { status, body } = await small.enqueue('limit-over', { total: 6 })
  t.equal(status, 400)
  t.match(body, { code: 'invalid_request', errors: [{ path: 'total', message: /5.*6/ }] })
})

async function nobodyWaits(): Promise<boolean> {
  const waiting = await s.database.query(
    `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  )
  return waiting.length === 0
}

t.test('a callback URL that may not be called is refused, and nothing is stored', async t => {
  const url = 'http://169.254.169.254/latest/meta-data'
  const { status, body } = await s.enqueue('private', { total: 1, callback: { url } })
  t.equal(status, 422)
  t.strictSame(body, {
    type: 'urn:rollcall:problem:callback_url_refused',
    title: 'The callback URL may not be called from here.',
    status: 422,
    detail:
      '169.254.169.254 is not a public address, and ROLLCALL_CALLBACK_ALLOW does not have it.',
    code: 'callback_url_refused',
  })
  t.equal((await s.barrier('private')).status, 404)
  const allowing = await service(t, {
    database: s.database,
    settings: { ROLLCALL_CALLBACK_ALLOW: '169.254.0.0/16' },
  })
  t.equal((await allowing.enqueue('private', { total: 1, callback: { url } })).status, 201)
})

t.test('without a secret no callback to a URL is taken', async t => {
  const unsigned = await service(t, {
    database: s.database,
    settings: { ROLLCALL_WEBHOOK_SECRET: '' },
  })
  const url = 'https://receiver.example/'
  t.match(await unsigned.enqueue('unsigned', { total: 1, callback: { url } }), {
    status: 422,
    body: {
      code: 'callback_url_refused',
      detail:
        'Callbacks to URLs are signed, and ROLLCALL_WEBHOOK_SECRET is not set: set it, or name a queue.',
    },
  })
  t.equal((await unsigned.enqueue('unsigned', { total: 1, callback: { queue: 'q' } })).status, 201)
})

const enqueueOrdered = (metadata: string, kwargs: string) =>
  s.call(
    'POST',
    '/executions/ordered/barrier/enqueue',
    `{"total":1,"metadata":${metadata},"callback":{"queue":"q","kwargs":${kwargs}}}`,
  )

t.test('the order of keys in callers’ JSON is no other content, other digits are', async t => {
  t.equal((await enqueueOrdered('{"a":{"b":1.0,"c":"é"},"d":[1,2]}', '{"x":1,"y":2}')).status, 201)
  const other = String.raw`{"d":[1,2],"a":{"c":"\u00e9","b":1.0}}`
  t.equal((await enqueueOrdered(other, '{"y":2,"x":1}')).status, 200)
  t.equal((await enqueueOrdered('{"a":{"b":1,"c":"é"},"d":[1,2]}', '{"x":1,"y":2}')).status, 422)
  t.equal((await enqueueOrdered('{"a":{"b":1.0,"c":"é"},"d":[2,1]}', '{"x":1,"y":2}')).status, 422)
})
