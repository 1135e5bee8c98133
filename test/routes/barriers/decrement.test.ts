import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const rowsOf = (execution: string) =>
  s.database.query(
    'select * from batches where execution_id = $1 order by generation, batch_index',
    [execution],
  )

const rowOf = async (execution: string) => {
  const [row] = await s.database.query('select * from barriers where execution_id = $1', [
    execution,
  ])
  return row
}

const nobodyWaits = async () => {
  const waiting = await s.database.query(
    `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  )
  return waiting.length === 0
}

/** A body whose JSON is given as text, because JSON.stringify would lose its digits. */
const decrementText = (execution: string, text: string) =>
  s.call('POST', `/executions/${execution}/barrier/decrement`, text)

t.test('a decrement records its batch and counts it', async t => {
  await s.enqueue('counts', { total: 3, tolerated_failure_count: 1 })
  const always = { generation: 1, total: 3, closed_by_this: false, settled: true }
  const first = await s.decrement('counts', { batch_index: 2 })
  t.equal(first.status, 200)
  t.strictSame(first.body, {
    ...always,
    outcome: 'recorded',
    batch_index: 2,
    status: 'succeeded',
    state: 'open',
    remaining: 2,
    succeeded: 1,
    failed: 0,
  })
  const second = await s.decrement('counts', { batch_index: 0, status: 'failed', error: 'boom' })
  t.strictSame(second.body, {
    ...always,
    outcome: 'recorded',
    batch_index: 0,
    status: 'failed',
    state: 'open',
    remaining: 1,
    succeeded: 1,
    failed: 1,
  })
  const last = await s.decrement('counts', { batch_index: 1, status: 'succeeded' })
  t.strictSame(last.body, {
    ...always,
    outcome: 'recorded',
    batch_index: 1,
    status: 'succeeded',
    state: 'completed',
    remaining: 0,
    succeeded: 2,
    failed: 1,
    closed_by_this: true,
  })
})

t.test('a decrement that is repeated is a duplicate and counts nothing', async t => {
  await s.enqueue('repeat', { total: 2, tolerated_failure_count: 2 })
  await s.decrement('repeat', { batch_index: 0, result: { a: 1, b: [true, null] } })
  const before = await rowsOf('repeat')
  const duplicate = {
    outcome: 'duplicate',
    batch_index: 0,
    status: 'succeeded',
    generation: 1,
    state: 'open',
    remaining: 1,
    total: 2,
    succeeded: 1,
    failed: 0,
    closed_by_this: false,
    settled: true,
  }
  const repeat = await decrementText(
    'repeat',
    '{ "batch_index": 0, "result": {"a": 1, "b": [ true, null ]} }',
  )
  t.equal(repeat.status, 200)
  t.strictSame(repeat.body, { ...duplicate, same: true })
  const others = [
    { result: { a: 2, b: [true, null] } },
    { result: null },
    {},
    { status: 'failed' },
    { status: 'failed', error: { a: 1, b: [true, null] } },
  ]
  for (const other of others) {
    const { body } = await s.decrement('repeat', { batch_index: 0, ...other })
    t.strictSame(body, { ...duplicate, same: false })
  }
  t.strictSame(await rowsOf('repeat'), before, 'and changes nothing')
})

t.test('the repeat of the last decrement says completed', async t => {
  await s.enqueue('last', { total: 1, callback: { queue: 'q' } })
  await s.decrement('last', { batch_index: 0 })
  const before = await rowOf('last')
  const { status, body } = await s.decrement('last', { batch_index: 0 })
  t.equal(status, 200)
  t.strictSame(body, {
    outcome: 'duplicate',
    same: true,
    batch_index: 0,
    status: 'succeeded',
    generation: 1,
    state: 'completed',
    remaining: 0,
    total: 1,
    succeeded: 1,
    failed: 0,
    closed_by_this: false,
    settled: true,
  })
  t.strictSame(await rowOf('last'), before)
})

t.test('absent and null are the same result', async t => {
  await s.enqueue('null', { total: 2, tolerated_failure_count: 1 })
  await s.decrement('null', { batch_index: 0, result: null })
  t.match((await s.decrement('null', { batch_index: 0 })).body, {
    outcome: 'duplicate',
    same: true,
  })
  await s.decrement('null', { batch_index: 1, status: 'failed' })
  t.match((await s.decrement('null', { batch_index: 1, status: 'failed', error: null })).body, {
    same: true,
  })
  t.match(await rowsOf('null'), [
    { result: null, error: null, outcome_bytes: 0 },
    { result: null, error: null, outcome_bytes: 0 },
  ])
})

t.test('a current token records and its repeat is a duplicate', async t => {
  await s.enqueue('token', { total: 2 })
  const { body: claim } = await s.claim('token', 0, { lease_seconds: 30 })
  const ask = { batch_index: 0, token: claim.token, result: 1 }
  t.match((await s.decrement('token', ask)).body, { outcome: 'recorded', remaining: 1 })
  t.match((await s.decrement('token', ask)).body, { outcome: 'duplicate', same: true })
  t.match((await s.decrement('token', { batch_index: 0, result: 1 })).body, {
    outcome: 'duplicate',
    same: true,
  })
  t.match(await rowsOf('token'), [{ state: 'succeeded', claim_key: null, lease_expires_at: null }])
})

t.test('a lease that is over and was not taken over still counts', async t => {
  await s.enqueue('over', { total: 1 })
  const { body: claim } = await s.claim('over', 0, { lease_seconds: 5 })
  await s.database.query(
    `update batches set lease_expires_at = lease_expires_at - interval '1 day' where execution_id = 'over'`,
  )
  t.match((await s.decrement('over', { batch_index: 0, token: claim.token })).body, {
    outcome: 'recorded',
    state: 'completed',
  })
})

t.test('a token that was taken over changes nothing', async t => {
  await s.enqueue('stale', { total: 2, tolerated_failure_count: 1 })
  const { body: old } = await s.claim('stale', 0, { lease_seconds: 5 })
  await s.database.query(
    `update batches set lease_expires_at = lease_expires_at - interval '1 day' where execution_id = 'stale'`,
  )
  const { body: current } = await s.claim('stale', 0, { lease_seconds: 600 })
  const before = [await rowOf('stale'), await rowsOf('stale')]
  const stale = await s.decrement('stale', { batch_index: 0, token: old.token, result: 'zombie' })
  const problem = {
    type: 'urn:rollcall:problem:stale_token',
    title: 'This token is not the current one, or its work is already settled.',
    status: 409,
    detail: 'This token is not the current one, or its work is already settled.',
    code: 'stale_token',
    batch_index: 0,
    attempt: 2,
    generation: 1,
    state: 'open',
    total: 2,
  }
  t.equal(stale.status, 409)
  t.strictSame(stale.body, { ...problem, remaining: 2, succeeded: 0, failed: 0, settled: false })
  t.strictSame([await rowOf('stale'), await rowsOf('stale')], before)

  await s.decrement('stale', { batch_index: 0, token: current.token, status: 'failed' })
  const recorded = await s.decrement('stale', { batch_index: 0, token: old.token })
  t.equal(recorded.status, 409)
  t.strictSame(recorded.body, {
    ...problem,
    batch_status: 'failed',
    remaining: 1,
    succeeded: 0,
    failed: 1,
    settled: true,
  })
})

t.test('a token that no claim returned is stale', async t => {
  await s.enqueue('made-up', { total: 2 })
  const before = await rowsOf('made-up')
  const unclaimed = await s.decrement('made-up', { batch_index: 0, token: '1.1.made-up' })
  t.equal(unclaimed.status, 409)
  t.match(unclaimed.body, { code: 'stale_token', settled: false, remaining: 2 })
  t.strictSame(await rowsOf('made-up'), before)
  const { body } = await s.claim('made-up', 0)
  for (const wrong of [`${body.token}x`, body.token.toUpperCase(), '1.1.', 'x', "' or 1=1 --"]) {
    t.match((await s.decrement('made-up', { batch_index: 0, token: wrong })).body, {
      code: 'stale_token',
      settled: false,
    })
  }
  t.match(await rowOf('made-up'), { succeeded: 0, failed: 0 })
})

t.test('a token for another batch is stale', async t => {
  await s.enqueue('crossed', { total: 2 })
  const { body: zero } = await s.claim('crossed', 0)
  await s.claim('crossed', 1)
  t.match((await s.decrement('crossed', { batch_index: 1, token: zero.token })).body, {
    code: 'stale_token',
  })
})

t.test('a token of generation 0 counts as none while generation 1 is current', async t => {
  const { body: early } = await s.claim('gen-zero', 0)
  t.match(early.token, /^0\.1\./)
  await s.enqueue('gen-zero', { total: 3 })
  t.match((await s.decrement('gen-zero', { batch_index: 0, token: early.token })).body, {
    outcome: 'recorded',
    generation: 1,
    remaining: 2,
  })
  t.match((await s.decrement('gen-zero', { batch_index: 0, token: early.token })).body, {
    outcome: 'duplicate',
    same: true,
  })
  // Also where the batch was claimed anew: without a token it counts, whoever holds it.
  await s.claim('gen-zero', 1)
  t.match((await s.decrement('gen-zero', { batch_index: 1, token: early.token })).body, {
    outcome: 'recorded',
  })
})

t.test('a token of generation 0 is fenced once generation 2 is current', async t => {
  const { body: early } = await s.claim('gen-zero-two', 0)
  await s.enqueue('gen-zero-two', { total: 1 })
  await s.enqueue('gen-zero-two', { total: 1, conflict_policy: 'replace' })
  const { body } = await s.decrement('gen-zero-two', { batch_index: 0, token: early.token })
  t.match(body, { status: 409, code: 'stale_generation', settled: true })
  t.match(await rowOf('gen-zero-two'), { generation: 2, succeeded: 0 })
})

t.test('old workers and old messages of a replaced generation are fenced', async t => {
  await s.enqueue('replaced', { total: 2 })
  const { body: old } = await s.claim('replaced', 0)
  await s.decrement('replaced', { batch_index: 1 })
  await s.enqueue('replaced', { total: 2, conflict_policy: 'replace' })
  const byMessage = await s.decrement('replaced', { batch_index: 0, generation: 1 })
  t.equal(byMessage.status, 409)
  t.strictSame(byMessage.body, {
    type: 'urn:rollcall:problem:stale_generation',
    title: 'A newer run of this execution is current; this call belongs to an older one.',
    status: 409,
    detail: 'A newer run of this execution is current; this call belongs to an older one.',
    code: 'stale_generation',
    batch_index: 0,
    generation: 2,
    state: 'open',
    remaining: 2,
    total: 2,
    succeeded: 0,
    failed: 0,
    settled: true,
  })
  t.match((await s.decrement('replaced', { batch_index: 0, token: old.token })).body, {
    status: 409,
    code: 'stale_generation',
    settled: true,
  })
  t.match(
    (await s.decrement('replaced', { batch_index: 0, token: old.token, generation: 1 })).body,
    { code: 'stale_generation', settled: true },
  )
  t.match(await rowOf('replaced'), { generation: 2, succeeded: 0, failed: 0, state: 'open' })
  t.match((await s.decrement('replaced', { batch_index: 0, generation: 2 })).body, {
    outcome: 'recorded',
    generation: 2,
    remaining: 1,
  })
})

t.test('in bulk a token of a replaced generation fences its own member only', async t => {
  await s.enqueue('replaced-bulk', { total: 2 })
  const { body: old } = await s.claim('replaced-bulk', 0)
  await s.enqueue('replaced-bulk', { total: 2, conflict_policy: 'replace' })
  const batches = [{ batch_index: 0, token: old.token }, { batch_index: 1 }]
  for (const [asked, outcome] of [
    [{ batches }, 'recorded'],
    [{ batches, generation: 2 }, 'duplicate'],
  ] as const) {
    const { status, body } = await s.decrements('replaced-bulk', asked)
    t.equal(status, 200)
    t.match(body, {
      batches: [{ outcome: 'refused', code: 'stale_generation', settled: true }, { outcome }],
      remaining: 1,
    })
  }
  t.match((await s.decrements('replaced-bulk', { batches, generation: 1 })).body, {
    status: 409,
    code: 'stale_generation',
    settled: true,
  })
})

t.test('only the number of a generation makes a token one of an older run', async t => {
  await s.enqueue('odd', { total: 1 })
  await s.enqueue('odd', { total: 1, conflict_policy: 'replace' })
  const odd = [
    '1',
    '1.',
    '01.1.x',
    '00000000.1.x',
    '2.1.x',
    '3.1.x',
    '999999999999.1.x',
    ' 1.1.x',
    '٣.1.x',
    '-1.1.x',
  ]
  for (const token of odd) {
    const code = token === '1.' ? 'stale_generation' : 'stale_token'
    t.match(
      (await s.decrement('odd', { batch_index: 0, token })).body,
      { status: 409, code },
      token,
    )
  }
})

t.test('a generation that is not there yet is not found', async t => {
  await s.enqueue('newer', { total: 1 })
  const { status, body } = await s.decrement('newer', { batch_index: 0, generation: 2 })
  t.equal(status, 404)
  t.match(body, { code: 'execution_not_found', settled: false, generation: 1 })
  t.match(await rowOf('newer'), { succeeded: 0 })
})

t.test('without a barrier there is nothing to count', async t => {
  const { body: claim } = await s.claim('no-barrier', 0)
  for (const ask of [{}, { generation: 1 }, { token: claim.token }]) {
    const { status, body } = await s.decrement('no-barrier', { batch_index: 0, ...ask })
    t.equal(status, 404)
    t.strictSame(body, {
      type: 'urn:rollcall:problem:execution_not_found',
      title: 'This execution has no barrier, or none of this generation.',
      status: 404,
      detail: 'This execution has no barrier, or none of this generation.',
      code: 'execution_not_found',
      batch_index: 0,
      settled: false,
    })
  }
  t.match(await rowsOf('no-barrier'), [{ state: 'claimed' }])
})

t.test('a batch that was not recorded before its barrier closed is not counted', async t => {
  await s.enqueue('closed', { total: 3, tolerated_failure_count: 1 })
  const { body: held } = await s.claim('closed', 1)
  await s.decrement('closed', { batch_index: 0, status: 'failed' })
  await s.abort('closed', { reason: 'enough' })
  const before = [await rowOf('closed'), await rowsOf('closed')]
  const { status, body } = await s.decrement('closed', { batch_index: 1, token: held.token })
  t.equal(status, 409)
  t.strictSame(body, {
    type: 'urn:rollcall:problem:barrier_closed',
    title: 'The barrier is closed; this batch was not counted and will not be.',
    status: 409,
    detail: 'The barrier is closed; this batch was not counted and will not be.',
    code: 'barrier_closed',
    batch_index: 1,
    generation: 1,
    state: 'aborted',
    reason: 'enough',
    remaining: 2,
    total: 3,
    succeeded: 0,
    failed: 1,
    settled: true,
  })
  t.match((await s.decrement('closed', { batch_index: 2 })).body, { code: 'barrier_closed' })
  // What was recorded before is a duplicate, as ever.
  t.match((await s.decrement('closed', { batch_index: 0, status: 'failed' })).body, {
    outcome: 'duplicate',
    same: true,
    state: 'aborted',
    settled: true,
  })
  t.strictSame([await rowOf('closed'), await rowsOf('closed')], before)
})

t.test('a batch that is not below total is out of range, before all other refusals', async t => {
  await s.enqueue('range', { total: 1 })
  await s.enqueue('range', { total: 1, conflict_policy: 'replace' })
  await s.abort('range')
  for (const ask of [{}, { generation: 1 }, { token: 'x' }]) {
    const { status, body } = await s.decrement('range', { batch_index: 1, ...ask })
    t.equal(status, 422)
    t.strictSame(body, {
      type: 'urn:rollcall:problem:batch_out_of_range',
      title: 'The batch index is not below the total of the barrier.',
      status: 422,
      detail: 'The batch index is not below the total of the barrier.',
      code: 'batch_out_of_range',
      batch_index: 1,
      generation: 2,
      state: 'aborted',
      remaining: 1,
      total: 1,
      succeeded: 0,
      failed: 0,
      settled: false,
    })
  }
  t.strictSame(await rowsOf('range'), [])
})

t.test('one failure more than tolerated aborts, with a reason that names the batch', async t => {
  await s.enqueue('tolerance', {
    total: 10,
    tolerated_failure_count: 1,
    callback: { queue: 'q', events: ['aborted'] },
  })
  t.match((await s.decrement('tolerance', { batch_index: 7, status: 'failed' })).body, {
    state: 'open',
    failed: 1,
  })
  const { body } = await s.decrement('tolerance', { batch_index: 4, status: 'failed' })
  t.strictSame(body, {
    outcome: 'recorded',
    batch_index: 4,
    status: 'failed',
    generation: 1,
    state: 'aborted',
    remaining: 8,
    total: 10,
    succeeded: 0,
    failed: 2,
    closed_by_this: true,
    settled: true,
  })
  const { body: barrier } = await s.barrier('tolerance')
  t.match(barrier, { state: 'aborted', callback: { state: 'due' } })
  t.match(barrier.reason, /\b4\b/)
  t.match((await s.abort('tolerance', { reason: 'mine' })).body, {
    outcome: 'already_closed',
    reason: barrier.reason,
  })
})

t.test('a tolerated percentage is a count by integer division', async t => {
  await s.enqueue('percentage', { total: 7, tolerated_failure_percentage: 40 })
  t.match(await rowOf('percentage'), { tolerated_failure_count: 2 })
  for (const batch_index of [0, 1]) {
    t.match((await s.decrement('percentage', { batch_index, status: 'failed' })).body, {
      state: 'open',
    })
  }
  t.match((await s.decrement('percentage', { batch_index: 6, status: 'failed' })).body, {
    state: 'aborted',
  })
  t.match((await s.barrier('percentage')).body.reason, /\b6\b/)

  await s.enqueue('percentage-all', { total: 2, tolerated_failure_percentage: 100 })
  await s.decrement('percentage-all', { batch_index: 0, status: 'failed' })
  t.match((await s.decrement('percentage-all', { batch_index: 1, status: 'failed' })).body, {
    state: 'completed',
    failed: 2,
  })
})

t.test('failures beyond the tolerance abort, also when they are the last', async t => {
  await s.enqueue('last-fails', { total: 1, callback: { queue: 'q' } })
  t.match((await s.decrement('last-fails', { batch_index: 0, status: 'failed' })).body, {
    state: 'aborted',
    remaining: 0,
    closed_by_this: true,
  })
  t.match(await rowOf('last-fails'), { callback_state: 'none', callback_id: null })
})

t.test('the callback is due in the statement that closes, by the events asked for', async t => {
  const events = [undefined, ['completed'], ['aborted'], ['expired'], ['completed', 'aborted']]
  for (const [position, wanted] of events.entries()) {
    const callback = { queue: 'q', ...(wanted ? { events: wanted } : {}) }
    const told = wanted ?? ['completed']
    for (const state of ['completed', 'aborted']) {
      const execution = `event-${position}-${state}`
      await s.enqueue(execution, { total: 1, callback })
      const status = state === 'completed' ? 'succeeded' : 'failed'
      t.equal((await s.decrement(execution, { batch_index: 0, status })).body.state, state)
      t.match((await s.barrier(execution)).body.callback, {
        state: told.includes(state) ? 'due' : 'none',
      })
    }
  }
  const ids = await s.database.query<{ callback_id: string }>(
    `select distinct callback_id from barriers where execution_id like 'event-%' and callback_id is not null`,
  )
  t.equal(ids.length, 5, 'each with an id of its own')
})

t.test('results come back as the JSON values that were sent, digit by digit', async t => {
  const results = [
    '12345678901234567890',
    '0.10',
    '1e300',
    '-0',
    '1E+2',
    '0.1000000000000000055511151231257827021181583404541015625',
    'true',
    'false',
    '""',
    '[]',
    '{}',
    '"snow ☃ and 😀"',
    String.raw`{"z":1,"a":[{"z":2,"a":[]},null,0.50],"é":{"":"😀 \n \" \\ /"}}`,
    '{"b":1,"a":2,"10":3,"9":4}',
    `${'['.repeat(98)}1${']'.repeat(98)}`,
    '{"claims":"%s %","$1":"$1","result":"\'; drop table batches; --"}',
  ]
  await s.enqueue('exact', { total: results.length })
  for (const [index, result] of results.entries()) {
    const reply = await decrementText('exact', `{"batch_index":${index},"result":${result}}`)
    t.match(reply.body, { outcome: 'recorded' })
    const { text } = await s.batch('exact', index)
    t.ok(text.includes(`"result":${result},`), `${result} in ${text}`)
  }
  const { text } = await s.batches('exact')
  for (const result of results) t.ok(text.includes(`"result":${result},`), result)
  t.equal((await s.barrier('exact')).body.state, 'completed')
})

t.test('a string may be written in other escapes than it was sent in, and is the same', async t => {
  await s.enqueue('escapes', { total: 1 })
  const sent = String.raw`"\ud83d\ude00 \u0041 \n \" \\ \/ \u001f"`
  await decrementText('escapes', `{"batch_index":0,"result":${sent}}`)
  t.equal((await s.batch('escapes', 0)).body.result, JSON.parse(sent))
})

t.test('insignificant white space of a result is not kept, its own is', async t => {
  await s.enqueue('space', { total: 1 })
  await decrementText('space', '{"batch_index":0,"result": { "a b" : [ 1 ,\n\t" x  y " ] } }')
  t.ok((await s.batch('space', 0)).text.includes('"result":{"a b":[1," x  y "]},'))
})

t.test('a repeat is the same by its JSON value, with the digits of numbers as sent', async t => {
  await s.enqueue('written', { total: 2 })
  const sent = String.raw`{"é":[1.0,{"b":"/","a":"\n"}],"b":2}`
  await decrementText('written', `{"batch_index":0,"result":${sent}}`)
  const repeats: [result: string, same: boolean][] = [
    [`{ "é": [1.0, {"b": "/", "a": ${String.raw`"\u000A"`}}], "b":2 }`, true],
    [String.raw`{"b":2,"\u00e9":[1.0,{"a":"\n","b":"\/"}]}`, true],
    [String.raw`{"b":2,"é":[1.00,{"a":"\n","b":"/"}]}`, false],
    [String.raw`{"b":2,"é":[0.1,{"a":"\n","b":"/"}]}`, false],
    [String.raw`{"b":2,"é":[{"a":"\n","b":"/"},1.0]}`, false],
    ['null', false],
  ]
  for (const [result, same] of repeats) {
    const { body } = await decrementText('written', `{"batch_index":0,"result":${result}}`)
    t.match(body, { outcome: 'duplicate', same }, result)
    t.notOk('recorded' in body)
  }
  const members = repeats.map(([result]) => `{"batch_index":0,"result":${result}}`)
  const reply = await s.call(
    'POST',
    '/executions/written/barrier/decrements',
    `{"batches":[${members.join(',')},{"batch_index":1,"result":{"a":1,"b":2}},{"batch_index":1,"result":{"b":2,"a":1}}]}`,
  )
  t.strictSame(
    reply.body.batches.map(({ same }: { same?: boolean }) => same),
    [...repeats.map(([, same]) => same), undefined, true],
  )
})

t.test('a result belongs to a success and an error to a failure', async t => {
  await s.enqueue('either', { total: 1 })
  const wrong = [
    [{ error: 'x' }, 'error'],
    [{ status: 'succeeded', error: 'x' }, 'error'],
    [{ status: 'failed', result: 'x' }, 'result'],
    [{ status: 'failed', error: 'x', result: 'x' }, 'result'],
  ] as const
  for (const [ask, path] of wrong) {
    const { status, body } = await s.decrement('either', { batch_index: 0, ...ask })
    t.equal(status, 400)
    t.match(body, { code: 'invalid_request', errors: [{ path, message: /, got "x"\.$/ }] })
  }
  t.strictSame(await rowsOf('either'), [])
})

t.test('a bulk decrement is one event: counted member by member, judged once', async t => {
  await s.enqueue('bulk', { total: 4, tolerated_failure_count: 2, callback: { queue: 'q' } })
  const { body: held } = await s.claim('bulk', 3)
  await s.decrement('bulk', { batch_index: 0, result: 'x' })
  const { status, body } = await s.decrements('bulk', {
    batches: [
      { batch_index: 4 },
      { batch_index: 0, result: 'y' },
      { batch_index: 3, token: 'other' },
      { batch_index: 2, status: 'failed', error: 'boom' },
      { batch_index: 1 },
      { batch_index: 3, token: held.token },
      { batch_index: 1, status: 'failed' },
    ],
  })
  t.equal(status, 200)
  const counts = { state: 'completed', remaining: 0, total: 4, succeeded: 3, failed: 1 }
  const always = { generation: 1, ...counts }
  const told = { ...always, settled: true }
  t.strictSame(body, {
    ...always,
    closed_by_this: true,
    batches: [
      { outcome: 'refused', code: 'batch_out_of_range', batch_index: 4, ...always, settled: false },
      {
        outcome: 'duplicate',
        batch_index: 0,
        status: 'succeeded',
        same: false,
        ...told,
        closed_by_this: false,
      },
      {
        outcome: 'refused',
        code: 'stale_token',
        batch_index: 3,
        status: 'succeeded',
        attempt: 1,
        ...told,
      },
      { outcome: 'recorded', batch_index: 2, status: 'failed', ...told, closed_by_this: false },
      { outcome: 'recorded', batch_index: 1, status: 'succeeded', ...told, closed_by_this: false },
      { outcome: 'recorded', batch_index: 3, status: 'succeeded', ...told, closed_by_this: true },
      {
        outcome: 'duplicate',
        batch_index: 1,
        status: 'succeeded',
        same: false,
        ...told,
        closed_by_this: false,
      },
    ],
  })
  t.match(await rowOf('bulk'), { callback_state: 'due' })
})

t.test('a bulk of failures names the one that crossed the tolerance', async t => {
  await s.enqueue('bulk-fail', { total: 9, tolerated_failure_count: 1 })
  const { body } = await s.decrements('bulk-fail', {
    batches: [8, 3, 5].map(batch_index => ({ batch_index, status: 'failed' })),
  })
  t.match(body, { state: 'aborted', failed: 3, remaining: 6, closed_by_this: true })
  t.strictSame(
    body.batches.map((batch: { closed_by_this: boolean }) => batch.closed_by_this),
    [false, true, false],
  )
  t.match((await s.barrier('bulk-fail')).body.reason, /\b3\b/)
})

t.test('failures and the last success of one bulk abort', async t => {
  await s.enqueue('bulk-both', { total: 2, callback: { queue: 'q' } })
  const { body } = await s.decrements('bulk-both', {
    batches: [{ batch_index: 0, status: 'failed' }, { batch_index: 1 }],
  })
  t.match(body, { state: 'aborted', remaining: 0, succeeded: 1, failed: 1 })
  t.match(await rowOf('bulk-both'), { callback_state: 'none' })
})

t.test('a bulk decrement that is repeated tells the truth of each member', async t => {
  await s.enqueue('bulk-repeat', { total: 2 })
  const ask = {
    batches: [
      { batch_index: 0, result: 1 },
      { batch_index: 1, result: 2 },
    ],
  }
  await s.decrements('bulk-repeat', ask)
  const { body } = await s.decrements('bulk-repeat', ask)
  t.match(body, {
    state: 'completed',
    closed_by_this: false,
    batches: [
      { outcome: 'duplicate', same: true, closed_by_this: false, settled: true },
      { outcome: 'duplicate', same: true, closed_by_this: false, settled: true },
    ],
  })
})

t.test(
  'a bulk decrement on a closed barrier refuses each member that was not recorded',
  async t => {
    await s.enqueue('bulk-closed', { total: 2 })
    await s.abort('bulk-closed', { reason: 'enough' })
    const { status, body } = await s.decrements('bulk-closed', { batches: [{ batch_index: 1 }] })
    t.equal(status, 200)
    const counts = {
      generation: 1,
      state: 'aborted',
      remaining: 2,
      total: 2,
      succeeded: 0,
      failed: 0,
    }
    t.strictSame(body, {
      ...counts,
      closed_by_this: false,
      batches: [
        {
          outcome: 'refused',
          code: 'barrier_closed',
          batch_index: 1,
          ...counts,
          reason: 'enough',
          settled: true,
        },
      ],
    })
  },
)

t.test('a bulk decrement of another generation is refused as a whole', async t => {
  await s.enqueue('bulk-generation', { total: 2 })
  await s.enqueue('bulk-generation', { total: 2, conflict_policy: 'replace' })
  const older = await s.decrements('bulk-generation', {
    generation: 1,
    batches: [{ batch_index: 0 }],
  })
  t.equal(older.status, 409)
  t.match(older.body, { code: 'stale_generation', generation: 2 })
  const newer = await s.decrements('bulk-generation', {
    generation: 3,
    batches: [{ batch_index: 0 }],
  })
  t.equal(newer.status, 404)
  t.match(newer.body, { code: 'execution_not_found' })
  t.equal((await s.decrements('nowhere', { batches: [{ batch_index: 0 }] })).status, 404)
  t.strictSame(await rowsOf('bulk-generation'), [])
})

t.test('a bulk decrement takes 1 to 1,000 members', async t => {
  await s.enqueue('bulk-size', { total: 1001 })
  const members = Array.from({ length: 1001 }, (_, batch_index) => ({ batch_index }))
  for (const batches of [[], members]) {
    const { status, body } = await s.decrements('bulk-size', { batches })
    t.equal(status, 400)
    t.match(body, { errors: [{ path: 'batches' }] })
  }
  const { body } = await s.decrements('bulk-size', { batches: members.slice(1) })
  t.match(body, { remaining: 1, succeeded: 1000 })
})

t.test('a bulk body may hold 16 MiB', async t => {
  await s.enqueue('bulk-large', { total: 40 })
  const result = 'x'.repeat(200 * 1024)
  const batches = Array.from({ length: 40 }, (_, batch_index) => ({ batch_index, result }))
  t.match((await s.decrements('bulk-large', { batches })).body, { state: 'completed' })
})

t.test('concurrent decrements of one batch record one and repeat the rest', async t => {
  await s.enqueue('concurrent', { total: 1, callback: { queue: 'q' } })
  const replies = await Promise.all(
    Array.from({ length: 16 }, () => s.decrement('concurrent', { batch_index: 0 })),
  )
  const outcomes = replies.map(({ body }) => body.outcome)
  t.equal(outcomes.filter(outcome => outcome === 'recorded').length, 1)
  t.equal(outcomes.filter(outcome => outcome === 'duplicate').length, 15)
  t.ok(replies.every(({ body }) => body.state === 'completed' && body.remaining === 0))
  t.equal(replies.filter(({ body }) => body.closed_by_this).length, 1)
})

t.test('a decrement that waited while its barrier closed answers the truth', async t => {
  await s.enqueue('waited', { total: 2, tolerated_failure_count: 1 })
  const other = await s.database.pool.connect()
  await other.query('begin')
  await other.query(
    `update barriers set state = 'aborted', reason = 'meanwhile', closed_at = now(), closing_nonce = 'n'
     where execution_id = 'waited'`,
  )
  const waiting = s.decrement('waited', { batch_index: 0 })
  while (await nobodyWaits()) await setImmediate()
  await other.query('commit')
  other.release()
  const { status, body } = await waiting
  t.equal(status, 409)
  t.match(body, { code: 'barrier_closed', reason: 'meanwhile', settled: true })
  t.strictSame(await rowsOf('waited'), [])
})
