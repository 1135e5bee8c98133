import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const due = (execution: string) =>
  s.enqueue(execution, { total: 0, callback: { queue: execution } })

async function pulled(execution: string, wish: object = {}) {
  const { body } = await s.pull(execution, wish)
  return body.callbacks[0]
}

t.test('a retry is due after its delay, and a repeat does not move it', async t => {
  await due('later')
  const { token } = await pulled('later')
  const { body } = await s.retry('later', token, { delay_seconds: 3600 })
  const [{ seconds } = {}] = await s.database.query<{ seconds: number }>(
    `select extract(epoch from callback_due_at - now())::float as seconds
    from barriers where execution_id = 'later'`,
  )
  t.ok(seconds! > 3590 && seconds! <= 3600, `${seconds} s`)
  t.strictSame((await s.retry('later', token, { delay_seconds: 0 })).body, body)
  t.strictSame((await s.pull('later')).body, { callbacks: [] })
})

t.test('an error is a text of 1 to 1,000 characters', async t => {
  await due('words')
  const { token } = await pulled('words')
  for (const error of ['', 'x'.repeat(1001), { why: 1 }, 3, ['x']]) {
    const { status, body } = await s.retry('words', token, { error })
    t.equal(status, 400, JSON.stringify(error))
    t.equal(body.errors[0].path, 'error')
  }
  t.equal((await s.retry('words', token, { delay_seconds: 86_401 })).status, 400)
  t.equal((await s.retry('words', token, { error: 'a\u0000' })).status, 422)
  const { body } = await s.retry('words', token, { error: 'é'.repeat(1000) })
  t.equal(body.attempts[0].error, 'é'.repeat(1000))
})
