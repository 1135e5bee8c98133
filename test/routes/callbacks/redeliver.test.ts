import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const due = (execution: string) =>
  s.enqueue(execution, { total: 0, callback: { queue: execution } })

async function pulled(execution: string, wish: object = {}) {
  const { body } = await s.pull(execution, wish)
  return body.callbacks[0]
}

t.test('redeliver makes due at once what waits, and takes it from whoever has it', async t => {
  const left = async (execution: string) => {
    const [row] = await s.database.query<{ seconds: number; nth: number }>(
      `select extract(epoch from callback_due_at - clock_timestamp())::float as seconds,
        callback_attempt - callback_attempts_before as nth
      from barriers where execution_id = $1`,
      [execution],
    )
    return row!
  }
  await due('delayed')
  const { token } = await pulled('delayed')
  await s.retry('delayed', token, { delay_seconds: 86_400 })
  t.match(await s.redeliver('delayed'), { status: 200, body: { state: 'due', attempt: 1 } })
  t.ok((await left('delayed')).seconds <= 0)
  t.match(await s.ack('delayed', token), { status: 409, body: { code: 'stale_token' } })

  await due('leased')
  const first = await pulled('leased', { lease_seconds: 3600 })
  t.match(await s.redeliver('leased'), {
    status: 200,
    body: {
      state: 'due',
      lease_expires_at: null,
      attempts: [{ attempt: 1, outcome: 'unknown', error: 'redelivered' }],
    },
  })
  t.equal((await left('leased')).nth, 0, 'the schedule begins anew')
  const second = await pulled('leased')
  t.match(second, { attempt: 2, callback_id: first.callback_id })
  t.match(await s.ack('leased', first.token), { status: 409 })

  await due('waiting')
  await s.database.query(
    `update barriers set callback_due_at = now() - interval '1 hour' where execution_id = 'waiting'`,
  )
  await s.redeliver('waiting')
  t.ok((await left('waiting')).seconds < -3_000, 'what is due keeps its place')
})
