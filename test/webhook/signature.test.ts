import * as fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { isSecret, sign } from '../../src/webhook/signature.ts'

const secretOf = (bytes: Uint8Array) => `whsec_${Buffer.from(bytes).toString('base64')}`
const secret = fc.uint8Array({ minLength: 24, maxLength: 64 }).map(secretOf)
const now = () => Math.floor(Date.now() / 1000)

t.test('the library of Standard Webhooks takes every signature', async () => {
  fc.assert(
    fc.property(secret, fc.uuid(), fc.json({ stringUnit: 'grapheme' }), (key, id, body) => {
      new Webhook(key).verify(body, sign({ id, timestamp: now(), body, secrets: [key] }))
    }),
    { numRuns: 200 },
  )
})

t.test('during a rotation either secret verifies, and no other', async t => {
  const [newer, older, other] = [1, 2, 3].map(byte => secretOf(Buffer.alloc(32, byte)))
  const body = '{"type":"barrier.completed"}'
  const headers = sign({ id: 'msg_1', timestamp: now(), body, secrets: [newer ?? '', older ?? ''] })
  t.match(headers['webhook-signature'], /^v1,\S{44} v1,\S{44}$/)
  new Webhook(newer ?? '').verify(body, headers)
  new Webhook(older ?? '').verify(body, headers)
  t.throws(() => new Webhook(other ?? '').verify(body, headers))
  t.throws(() => new Webhook(newer ?? '').verify(`${body} `, headers))
  t.throws(() => new Webhook(newer ?? '').verify(body, { ...headers, 'webhook-id': 'msg_2' }))
})

t.test('the example of the specification', async t => {
  t.strictSame(
    sign({
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      timestamp: 1_614_265_330,
      body: '{"test": 2432232314}',
      secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
    }),
    {
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    },
  )
})

t.test('without a secret there is no signature', async t => {
  t.strictSame(sign({ id: 'msg_1', timestamp: 1, body: '{}', secrets: [] }), {
    'webhook-id': 'msg_1',
    'webhook-timestamp': '1',
  })
})

const of = (length: number) => secretOf(Buffer.alloc(length, 0xfb))

t.test('a secret is whsec_ and the base64 of 24 to 64 bytes', async t => {
  for (const good of [of(24), of(32), of(64)]) t.ok(isSecret(good), good)
  const bad = [
    '',
    'whsec_',
    of(23),
    of(65),
    of(32).slice('whsec_'.length),
    of(32).replace('=', ''),
    of(32).replaceAll('+', '-'),
    `${of(24)}!`,
    `${of(24)}\n`,
    of(24).replace('whsec', 'WHSEC'),
  ]
  for (const text of bad) t.notOk(isSecret(text), text)
})
