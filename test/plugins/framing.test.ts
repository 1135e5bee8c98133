import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import t from 'tap'
import { service } from '../fixtures/service.ts'

const s = await service(t)
await s.app.listen({ host: '127.0.0.1', port: 0 })

/** Sends bytes to the service and reads what comes until the service ends it. */
async function exchange(bytes: string) {
  const socket = connect((s.app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  let text = ''
  socket.on('data', chunk => (text += chunk.toString()))
  socket.write(bytes)
  await new Promise(resolve => socket.once('end', resolve).once('close', resolve))
  socket.destroy()
  const interim = /^HTTP\/1\.1 100 Continue\r\n\r\n/
  const [head = '', body = ''] = text.replace(interim, '').split('\r\n\r\n', 2)
  return { head, body: body === '' ? undefined : (JSON.parse(body) as unknown) }
}

const claim = (headers: string) => `POST /executions/a/batches/0/claim HTTP/1.1\r\n${headers}\r\n`

const refused: Record<string, [bytes: string, status: number, code: string, path?: string]> = {
  'two Host headers': [
    claim('host: localhost\r\nHost: localhost\r\n'),
    400,
    'invalid_request',
    'host',
  ],
  'no Host': [claim('x-a: b\r\n'), 400, 'invalid_request', 'host'],
  'two Idempotency-Key headers': [
    claim('host: localhost\r\nidempotency-key: a\r\nIDEMPOTENCY-KEY: b\r\n'),
    400,
    'invalid_request',
    'idempotency-key',
  ],
  'two Content-Type headers': [
    claim('host: localhost\r\ncontent-type: application/json\r\ncontent-type: text/plain\r\n'),
    400,
    'invalid_request',
    'content-type',
  ],
  'two Origin headers': [
    claim('host: localhost\r\norigin: http://localhost\r\norigin: http://evil.example\r\n'),
    400,
    'invalid_request',
    'origin',
  ],
  'Transfer-Encoding in HTTP/1.0': [
    'POST /executions/a/batches/0/claim HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
    'invalid_request',
    'transfer-encoding',
  ],
  'an unknown Expect': [claim('host: localhost\r\nexpect: x\r\n'), 417, 'expectation_failed'],
  'an Expect that has more than it may': [
    claim('host: localhost\r\nexpect: x, 100-continue\r\n'),
    417,
    'expectation_failed',
  ],
  CONNECT: ['CONNECT a:443 HTTP/1.1\r\nhost: localhost\r\n\r\n', 405, 'method_not_allowed'],
  'no HTTP': ['hello\r\n\r\n', 400, 'invalid_request', ''],
}

t.test('a path that is none, or too long, is refused with the same headers', async t => {
  const urls = { '/executions/%zz/barrier': 400, [`/executions/${'a'.repeat(1025)}/barrier`]: 414 }
  for (const [url, status] of Object.entries({ ...urls, '/nothing': 404 })) {
    const reply = await s.app.inject(url)
    t.match(reply, {
      statusCode: status,
      headers: {
        'content-type': 'application/problem+json',
        'x-content-type-options': 'nosniff',
      },
    })
  }
})

for (const [name, [bytes, status, code, path]] of Object.entries(refused)) {
  t.test(`${name}: refused as problem details, and the connection ends`, async t => {
    const { head, body } = await exchange(bytes)
    t.match(head, new RegExp(`^HTTP/1\\.1 ${status} `))
    t.match(head, /\r\nconnection: close/i)
    t.match(head, /\r\nx-content-type-options: nosniff/i)
    t.match(head, /\r\ncontent-type: application\/problem\+json/i)
    t.match(body, { status, code, ...(path === undefined ? {} : { errors: [{ path }] }) })
  })
}

t.test('nothing of all that was stored', async t => {
  t.strictSame(await s.database.query('select from batches'), [])
})

t.test('headers that are lists, or decide nothing here, may come twice', async t => {
  const { head } = await exchange(
    'GET /livez HTTP/1.1\r\nhost: localhost\r\naccept: a\r\naccept: b\r\nx-a: 1\r\nx-a: 2\r\nconnection: close\r\n\r\n',
  )
  t.match(head, /^HTTP\/1\.1 200 /)
  t.match(head, /\r\nx-content-type-options: nosniff/i)
})

t.test(
  'a refusal that is written by hand is never taken for the reply to another request',
  async t => {
    await s.enqueue('framed', { total: 1 })
    const wait =
      'GET /executions/framed/barrier?wait_seconds=50 HTTP/1.1\r\nhost: localhost\r\n\r\n'
    for (const next of ['hello\r\n\r\n', 'CONNECT a:443 HTTP/1.1\r\nhost: localhost\r\n\r\n']) {
      t.strictSame(await exchange(wait + next), { head: '', body: undefined })
    }
  },
)

t.test('a socket that was never used is closed without a word', async t => {
  Object.assign(s.app.server, { headersTimeout: 1, requestTimeout: 1 })
  t.teardown(() => Object.assign(s.app.server, { headersTimeout: 10_000, requestTimeout: 30_000 }))
  t.strictSame(await exchange(''), { head: '', body: undefined })
})
