import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const due = (execution: string) =>
  s.enqueue(execution, { total: 0, callback: { queue: execution } })

async function pulled(execution: string, wish: object = {}) {
  const { body } = await s.pull(execution, wish)
  return body.callbacks[0]
}

const problem = (code: string, status: number, title: string, members: object = {}) => ({
  type: `urn:rollcall:problem:${code}`,
  title,
  status,
  detail: title,
  code,
  ...members,
})

const noBarrier = 'This execution has no barrier, or none of this generation.'
const noCallback = 'The barrier of this execution has no callback.'
const notDue = 'The callback is not due: the barrier is open, or closed by another event.'
const stale = 'This token is not the current one, or its work is already settled.'
const replaced = 'A newer run of this execution is current; this call belongs to an older one.'

t.test(
  'ack delivers, retry gives back, redeliver makes due again: each tells the whole',
  async t => {
    await due('whole')
    const before = (await s.callback('whole')).body
    const first = await pulled('whole')
    const given = await s.retry('whole', first.token, { delay_seconds: 0, error: 'Not "now".' })
    t.equal(given.status, 200)
    const failed = {
      attempt: 1,
      started_at: given.body.attempts[0].started_at,
      outcome: 'failed',
      status: null,
      error: 'Not "now".',
      milliseconds: given.body.attempts[0].milliseconds,
      response: null,
    }
    t.strictSame(given.body, {
      ...before,
      due_at: given.body.due_at,
      attempt: 1,
      attempts: [failed],
    })
    t.ok(given.body.due_at > before.due_at)
    t.ok(Number.isInteger(failed.milliseconds) && failed.milliseconds >= 0)

    const second = await pulled('whole')
    const done = await s.ack('whole', second.token)
    t.equal(done.status, 200)
    const delivered = {
      ...failed,
      attempt: 2,
      started_at: done.body.attempts[1].started_at,
      outcome: 'delivered',
      error: null,
      milliseconds: done.body.attempts[1].milliseconds,
    }
    t.strictSame(done.body, {
      ...before,
      state: 'delivered',
      due_at: null,
      attempt: 2,
      settled_at: done.body.settled_at,
      attempts: [failed, delivered],
    })
    t.match(done.body.settled_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)

    const again = await s.redeliver('whole')
    t.equal(again.status, 200)
    t.strictSame(again.body, {
      ...done.body,
      state: 'due',
      due_at: again.body.due_at,
      settled_at: null,
    })
    t.strictSame((await s.callback('whole')).body, again.body)
    const third = await pulled('whole')
    t.equal(third.callback_id, first.callback_id)
    t.strictSame(third.message, first.message)
  },
)

/** Sequences of calls on a callback that is due, and the answer to each. Old tokens are those of the first lease. */
const table: Record<string, string[]> = {
  'pull ack ack': ['delivering', 'delivered', 'delivered'],
  'pull retry retry': ['delivering', 'due', 'due'],
  'pull retry ack ack': ['delivering', 'due', 'delivered', 'delivered'],
  'pull ack retry': ['delivering', 'delivered', 'stale_token delivered'],
  'pull retry ack retry': ['delivering', 'due', 'delivered', 'stale_token delivered'],
  'pull end ack': ['delivering', '', 'delivered'],
  'pull end retry ack': ['delivering', '', 'due', 'delivered'],
  'pull retry pull ack-old retry-old ack': [
    'delivering',
    'due',
    'delivering',
    'stale_token delivering',
    'stale_token delivering',
    'delivered',
  ],
  'pull end pull ack-old retry-old retry ack-old': [
    'delivering',
    '',
    'delivering',
    'stale_token delivering',
    'stale_token delivering',
    'due',
    'stale_token due',
  ],
  'pull end pull ack ack-old': [
    'delivering',
    '',
    'delivering',
    'delivered',
    'stale_token delivered',
  ],
  'redeliver pull ack': ['due', 'delivering', 'delivered'],
  'pull redeliver ack retry': ['delivering', 'due', 'stale_token due', 'stale_token due'],
  'pull redeliver pull ack-old ack': [
    'delivering',
    'due',
    'delivering',
    'stale_token delivering',
    'delivered',
  ],
  'pull end redeliver ack': ['delivering', '', 'due', 'stale_token due'],
  'pull ack redeliver redeliver ack retry': [
    'delivering',
    'delivered',
    'due',
    'due',
    'stale_token due',
    'stale_token due',
  ],
  'pull ack redeliver pull ack-old ack redeliver': [
    'delivering',
    'delivered',
    'due',
    'delivering',
    'stale_token delivering',
    'delivered',
    'due',
  ],
  'pull retry die ack retry redeliver': [
    'delivering',
    'due',
    '',
    'stale_token dead',
    'stale_token dead',
    'due',
  ],
}

for (const [sequence, answers] of Object.entries(table)) {
  t.test(`in this order: ${sequence}`, async t => {
    const execution = sequence.replaceAll(' ', '-')
    await due(execution)
    const tokens: string[] = []
    const steps: Record<string, () => Promise<string>> = {
      pull: async () => {
        const { token } = await pulled(execution)
        tokens.push(token)
        return (await s.callback(execution)).body.state
      },
      ack: async () => said(await s.ack(execution, tokens.at(-1)!)),
      'ack-old': async () => said(await s.ack(execution, tokens[0]!)),
      retry: async () => said(await s.retry(execution, tokens.at(-1)!)),
      'retry-old': async () => said(await s.retry(execution, tokens[0]!)),
      redeliver: async () => said(await s.redeliver(execution)),
      end: async () => {
        await s.database.query(
          `update barriers set callback_due_at = now() - interval '1 second' where execution_id = $1`,
          [execution],
        )
        return ''
      },
      die: async () => {
        await s.database.query(
          `update barriers set callback_state = 'dead', callback_due_at = null, callback_settled_at = now()
          where execution_id = $1`,
          [execution],
        )
        return ''
      },
    }
    const told: string[] = []
    let last = ''
    for (const step of sequence.split(' ')) {
      const before = (await s.callback(execution)).body
      const answer = await steps[step]!()
      told.push(answer)
      // Invariant 7, and a repeat: what is refused or said again changes nothing.
      const isRepeat = step !== 'pull' && step === last
      last = step
      if (answer.startsWith('stale') || isRepeat)
        t.strictSame((await s.callback(execution)).body, before, `${step} changed nothing`)
    }
    t.strictSame(told, answers)
  })
}

t.test('refusals tell the truth, each with its whole body', async t => {
  const both = (execution: string, token: string) =>
    Promise.all([s.ack(execution, token), s.retry(execution, token)])
  const all = async (execution: string, token: string) => [
    ...(await both(execution, token)),
    await s.redeliver(execution),
  ]

  for (const { status, body } of await all('unknown', '1.1.x')) {
    t.equal(status, 404)
    t.strictSame(body, problem('execution_not_found', 404, noBarrier))
  }
  await s.enqueue('without', { total: 0 })
  for (const { status, body } of await all('without', '1.1.x')) {
    t.equal(status, 404)
    t.strictSame(body, problem('callback_not_found', 404, noCallback))
  }
  await s.enqueue('open', { total: 1, callback: { queue: 'open' } })
  for (const { status, body } of await all('open', '1.1.x')) {
    t.equal(status, 404)
    t.strictSame(
      body,
      problem('callback_not_found', 404, noCallback, { detail: notDue, callback_state: 'none' }),
    )
  }
  await due('never')
  for (const token of ['1.1.x', '1.0.', 'x', '2.1.x', '99999999999.1.x']) {
    for (const { status, body } of await both('never', token)) {
      t.equal(status, 409)
      t.strictSame(
        body,
        problem('stale_token', 409, stale, { generation: 1, attempt: 0, callback_state: 'due' }),
      )
    }
  }
  const { token } = await pulled('never')
  await s.enqueue('never', { total: 1, callback: { queue: 'never' }, conflict_policy: 'replace' })
  for (const { status, body } of await both('never', token)) {
    t.equal(status, 409)
    t.strictSame(body, problem('stale_generation', 409, replaced, { generation: 2 }))
  }
  t.equal((await s.call('POST', '/executions/never/callback/ack')).status, 400)
  t.equal((await s.call('POST', '/executions/never/callback/redeliver', { token })).status, 400)
})

t.test(
  'a barrier that is replaced while its callback is leased: the new one is untouched',
  async t => {
    await due('replaced')
    const old = await pulled('replaced')
    await s.enqueue('replaced', {
      total: 0,
      callback: { queue: 'replaced', task_name: 'new' },
      conflict_policy: 'replace',
    })
    const before = (await s.callback('replaced')).body
    t.match(before, { generation: 2, state: 'due', attempt: 0, attempts: [] })
    t.match(await s.ack('replaced', old.token), { status: 409, body: { code: 'stale_generation' } })
    t.match(await s.retry('replaced', old.token), {
      status: 409,
      body: { code: 'stale_generation' },
    })
    t.strictSame((await s.callback('replaced')).body, before)
    const fresh = await pulled('replaced')
    t.match(fresh, { generation: 2, attempt: 1, message: { data: { task_name: 'new' } } })
    t.not(fresh.callback_id, old.callback_id)
    t.match(await s.ack('replaced', fresh.token), { status: 200, body: { state: 'delivered' } })
  },
)

t.test('the token of a callback that is posted is the service’s own', async t => {
  await s.enqueue('posted', { total: 0, callback: { url: 'https://receiver.example/hook' } })
  await s.database.query(
    `update barriers
    set callback_state = 'delivering', callback_attempt = 1, callback_token = '1.1.x', callback_leased_at = now(),
      callback_due_at = now() + interval '1 minute',
      callback_message = callback_message(barriers, 0, '')
    where execution_id = 'posted'`,
  )
  t.match(await s.ack('posted', '1.1.x'), { status: 409, body: { code: 'stale_token' } })
  t.match(await s.retry('posted', '1.1.x'), { status: 409, body: { code: 'stale_token' } })
  t.match((await s.callback('posted')).body, { state: 'delivering', attempts: [] })
})

function said({ body }: { body: { state?: string; code?: string; callback_state?: string } }) {
  return body.code === undefined ? body.state! : `${body.code} ${body.callback_state}`
}
