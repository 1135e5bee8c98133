import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { inbox, type Attempt } from '../../demo/inbox.ts'
import { freshSecrets, keptSecrets } from '../../demo/secrets.ts'

const [secret = ''] = freshSecrets().secrets
const [other = ''] = freshSecrets().secrets

interface Sending {
  id?: string
  body?: string
  secrets?: string[]
  sentAt?: number
}

function headersOf({
  id = 'msg_1',
  body = '{}',
  secrets = [secret],
  sentAt = Date.now(),
}: Sending) {
  const timestamp = String(Math.floor(sentAt / 1_000))
  const signatures = secrets.map(one => {
    const key = Buffer.from(one.slice('whsec_'.length), 'base64')
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`
  })
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  }
}

/** A receiver in this process, and a deliverer as Rollcall is one. */
async function receiver(t: Test, secrets: string[]) {
  const attempts: Attempt[] = []
  const bodies: string[] = []
  const hear = async (attempt: Attempt, body: string) => {
    attempts.push(attempt)
    bodies.push(body)
  }
  const server = createServer(inbox(secrets, hear))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const deliver = async (sending: Sending = {}, path = '/callback') => {
    const { body = '{}' } = sending
    const reply = await fetch(url + path, { method: 'POST', headers: headersOf(sending), body })
    await reply.text()
    return reply.status
  }
  return { attempts, bodies, deliver, url }
}

t.test('the first two attempts are answered with 500, all later ones with 204', async t => {
  const { attempts, bodies, deliver } = await receiver(t, [secret])
  const body = '{"type":"barrier.completed","data":"é"}'
  const answered = []
  for (let attempt = 0; attempt < 4; attempt += 1) answered.push(await deliver({ body }))
  t.strictSame(answered, [500, 500, 204, 204])
  const sha256 = createHash('sha256').update(body).digest('hex')
  t.match(
    attempts,
    answered.map(status => ({
      webhook_id: 'msg_1',
      received_at: /^\d{4}-.*Z$/,
      status,
      signature: 'verified',
      sha256,
    })),
  )
  t.strictSame(bodies, [body, body, body, body])
})

t.test('what is no callback is not an attempt', async t => {
  const { attempts, deliver, url } = await receiver(t, [secret])
  t.equal(await deliver({}, '/elsewhere'), 404)
  t.equal((await fetch(`${url}/callback`)).status, 404)
  t.strictSame(attempts, [])
})

t.test('another secret, body or id, half a signature and none are wrong', async t => {
  const { attempts, deliver, url } = await receiver(t, [secret])
  await deliver({ secrets: [other] })
  const headers = headersOf({ body: '{"total":1}' })
  const signature = headers['webhook-signature']
  const post = async (changed: Record<string, string>, body: string) =>
    fetch(`${url}/callback`, { method: 'POST', headers: { ...headers, ...changed }, body })
  await post({}, '{"total":2}')
  await post({ 'webhook-id': 'msg_2' }, '{"total":1}')
  await post({ 'webhook-signature': signature.slice(0, 20) }, '{"total":1}')
  await post({ 'webhook-signature': signature.slice('v1,'.length) }, '{"total":1}')
  await post({ 'webhook-timestamp': 'soon' }, '{"total":1}')
  await fetch(`${url}/callback`, { method: 'POST', body: '{"total":1}' })
  await post({}, '{"total":1}')
  t.strictSame(
    attempts.map(({ webhook_id, signature: judged }) => [webhook_id, judged]),
    [
      ['msg_1', 'wrong'],
      ['msg_1', 'wrong'],
      ['msg_2', 'wrong'],
      ['msg_1', 'wrong'],
      ['msg_1', 'wrong'],
      ['msg_1', 'wrong'],
      ['', 'wrong'],
      ['msg_1', 'verified'],
    ],
  )
})

t.test('without a secret no signature is checked', async t => {
  const { attempts, deliver } = await receiver(t, [])
  await deliver()
  t.match(attempts, [{ signature: 'not checked', status: 500 }])
})

t.test('one of several signatures, and one of several secrets, is enough', async t => {
  const { attempts, deliver } = await receiver(t, [other, secret])
  await deliver({ secrets: [freshSecrets().secrets[0] ?? '', secret] })
  t.match(attempts, [{ signature: 'verified' }])
})

t.test('a signature holds for five minutes before and after', async t => {
  const { attempts, deliver } = await receiver(t, [secret])
  const now = Date.now()
  for (const offset of [-301_000, -290_000, 0, 290_000, 310_000]) {
    await deliver({ sentAt: now + offset })
  }
  t.strictSame(
    attempts.map(({ signature }) => signature),
    ['wrong', 'verified', 'verified', 'verified', 'wrong'],
  )
})

t.test('the secret that a service made for itself is that of its file', async t => {
  const folder = t.testdir({ 'webhook-secret': `${secret}\n`, empty: { 'webhook-secret': '' } })
  t.strictSame(await keptSecrets(folder), {
    secrets: [secret],
    origin: `that of ${folder}/webhook-secret`,
  })
  t.equal(await keptSecrets(`${folder}/empty`), undefined)
  t.equal(await keptSecrets(`${folder}/nowhere`), undefined)
})
