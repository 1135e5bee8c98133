import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { inbox, type Attempt } from '../../demo/inbox.ts'
import { freshSecrets, keptSecrets } from '../../demo/secrets.ts'
import { isSigned } from '../../demo/signature.ts'

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

t.test('another secret, a changed body and no signature are wrong', async t => {
  const { attempts, deliver, url } = await receiver(t, [secret])
  await deliver({ secrets: [other] })
  const headers = headersOf({ body: '{"total":1}' })
  await fetch(`${url}/callback`, { method: 'POST', headers, body: '{"total":2}' })
  await fetch(`${url}/callback`, { method: 'POST', body: '{}' })
  t.strictSame(
    attempts.map(({ webhook_id, signature }) => [webhook_id, signature]),
    [
      ['msg_1', 'wrong'],
      ['msg_1', 'wrong'],
      ['', 'wrong'],
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

t.test('a signature is verified as in the example of Standard Webhooks', async t => {
  const example = {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestamp: '1614265330',
    signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    body: Buffer.from('{"test": 2432232314}'),
  }
  const secrets = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']
  const sentAt = 1_614_265_330_000
  t.equal(isSigned(example, secrets, sentAt), true)
  t.equal(isSigned({ ...example, signature: example.signature.slice(3) }, secrets, sentAt), false)
  t.equal(isSigned({ ...example, signature: 'v1,g0hM' }, secrets, sentAt), false)
  t.equal(isSigned({ ...example, id: 'msg_other' }, secrets, sentAt), false)
  t.equal(isSigned({ ...example, timestamp: '1614265331' }, secrets, sentAt), false)
})

t.test('a signature holds for five minutes before and after', async t => {
  const now = 1_800_000_000_000
  const isTaken = (sentAt: number) => {
    const { 'webhook-timestamp': timestamp, 'webhook-signature': signature } = headersOf({ sentAt })
    return isSigned({ id: 'msg_1', timestamp, signature, body: Buffer.from('{}') }, [secret], now)
  }
  const offsets = [-301_000, -300_000, 0, 300_000, 301_000]
  t.strictSame(
    offsets.map(offset => isTaken(now + offset)),
    [false, true, true, true, false],
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
