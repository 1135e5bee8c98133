import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { version } from '../../src/package.ts'
import { Guard } from '../../src/webhook/guard.ts'
import { Sender } from '../../src/webhook/post.ts'
import {
  type Act,
  closesMidReply,
  drips,
  dripsHeaders,
  gigabyte,
  hangs,
  hangsUp,
  receiver,
} from '../fixtures/receiver.ts'
import { privateHosts } from './hosts.ts'

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const OLDER = `whsec_${Buffer.alloc(32, 8).toString('base64')}`
const message = { id: 'msg_1', body: '{"type":"barrier.completed","text":"größer 😀"}' }
const local = new Guard({ allow: [], loopback: true })

/** A sender that is patient for a tenth of a second where the real one is for some. */
function sender(
  t: Test,
  {
    guard = local,
    limits = { connect_ms: 2_000, attempt_ms: 2_000, response_ms: 100 },
    secrets = [SECRET],
  }: Partial<ConstructorParameters<typeof Sender>[0]> = {},
): Sender {
  const own = new Sender({ guard, secrets, limits: { unreachable_ms: 0, ...limits } })
  t.teardown(() => own.close())
  return own
}

/** One attempt at a receiver that acts so. */
async function attemptAt(t: Test, act: Act, limits = {}) {
  const { url } = await receiver(t, act)
  return sender(t, { limits: { response_ms: 100, ...limits } }).post({ ...message, url })
}

t.test('a message arrives signed, byte for byte, and with no header but ours', async t => {
  const { url, port, nth } = await receiver(t, 204)
  const attempt = await sender(t, { secrets: [SECRET, OLDER] }).post({ ...message, url })
  t.match(attempt, { status: 204, milliseconds: Number })
  t.strictSame(Object.keys(attempt).toSorted(), ['milliseconds', 'status'])

  const { method, path, headers, body } = await nth(1)
  t.strictSame({ method, path, body }, { method: 'POST', path: '/hook', body: message.body })
  for (const secret of [SECRET, OLDER]) new Webhook(secret).verify(body, headers)
  const { 'webhook-timestamp': timestamp, 'webhook-signature': signature, ...others } = headers
  t.ok(Math.abs(Number(timestamp) - Date.now() / 1000) < 10)
  t.match(signature, /^v1,\S+ v1,\S+$/)
  t.strictSame(others, {
    host: `127.0.0.1:${port}`,
    connection: 'close',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(message.body)),
    'user-agent': `rollcall/${version}`,
    'webhook-id': 'msg_1',
  })
})

t.test('every attempt has a connection of its own', async t => {
  const target = await receiver(t, 500, 200)
  const own = sender(t)
  t.match(await own.post({ ...message, url: target.url }), { status: 500 })
  t.match(await own.post({ ...message, url: target.url }), { status: 200 })
  t.equal(target.connections(), 2)
  t.equal((await target.nth(2)).headers['webhook-id'], 'msg_1')
})

t.test('whatever the status, it is told', async t => {
  for (const status of [200, 202, 400, 404, 410, 429, 500, 503]) {
    t.match(await attemptAt(t, { status, body: 'why' }), { status, response: 'why' })
  }
})

t.test('Retry-After is told in seconds', async t => {
  const after = (value: string) => attemptAt(t, { status: 429, headers: { 'retry-after': value } })
  t.match(await after('120'), { status: 429, retry_after_seconds: 120 })
  const inAnHour = await after(new Date(Date.now() + 3_600_000).toUTCString())
  t.ok(Math.abs((inAnHour.retry_after_seconds ?? 0) - 3600) <= 2)
  t.notOk('retry_after_seconds' in (await after('soon')))
  t.match(await after('9'.repeat(400)), { retry_after_seconds: 36_000 }, 'however many digits')
  const twice = await attemptAt(t, reply =>
    reply.setHeader('retry-after', ['soon', '60', '5']).writeHead(503).end(),
  )
  t.match(twice, { status: 503, retry_after_seconds: 60 }, 'of several the longest')
})

t.test('a redirect is not followed', async t => {
  const inner = await receiver(t, 200)
  for (const status of [301, 302, 303, 307, 308]) {
    const attempt = await attemptAt(t, { status, headers: { location: inner.url } })
    t.match(attempt, { status })
  }
  t.equal(inner.connections(), 0)
})

t.test('a receiver that hangs ends with the time of an attempt', async t => {
  for (const act of [hangs, dripsHeaders]) {
    const attempt = await attemptAt(t, act, { attempt_ms: 100 })
    t.match(attempt, { error: 'timeout', status: undefined })
    t.ok(attempt.milliseconds >= 90 && attempt.milliseconds < 1_000)
  }
})

t.test('a response that never ends is cut off, and its status counts', async t => {
  const dripped = await attemptAt(t, drips)
  t.match(dripped, { status: 200, response: /^\.+$/ })
  t.ok(dripped.milliseconds < 1_000)
  t.match(await attemptAt(t, closesMidReply), { status: 200, response: 'half of it' })
})

t.test('of a gigabyte some kilobytes are read, and the connection is closed', async t => {
  let closed: Promise<unknown> = Promise.resolve()
  let sent = 0
  const attempt = await attemptAt(
    t,
    (reply, delivery) => {
      const { socket } = reply
      closed = once(reply, 'close').then(() => (sent = socket?.bytesWritten ?? 0))
      if (typeof gigabyte === 'function') gigabyte(reply, delivery)
    },
    { response_ms: 5_000 },
  )
  t.match(attempt, { status: 200, response: 'x'.repeat(200) })
  await closed
  // What the buffers of both ends took in before the reader left.
  t.ok(sent < 16 * 1024 * 1024, `${sent} bytes`)
})

t.test('a response cannot do harm where it is kept', async t => {
  const { response } = await attemptAt(t, {
    status: 500,
    body: Buffer.from('\x1b]0;owned\x07a\0b\xff<img src=x>', 'latin1'),
  })
  t.equal(response, ' ]0;owned a b\uFFFD<img src=x>')
})

t.test('a connection that ends without a status, or does not speak HTTP', async t => {
  t.match(await attemptAt(t, hangsUp), { error: 'no_response' })
  for (const said of ['SSH-2.0-OpenSSH_9.6\r\n', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(99_999)}`]) {
    const port = await rawServer(t, said)
    const url = `http://127.0.0.1:${port}/`
    t.match(await sender(t).post({ ...message, url }), { error: 'no_response' })
  }
})

t.test('what comes without end before, around or after a status is cut off', async t => {
  const chunks = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
  for (const [begin, flood, end] of [
    ['', 'HTTP/1.1 103 Early Hints\r\n\r\n', { error: 'no_response' }],
    [
      '',
      `HTTP/1.1 103 Early Hints\r\nlink: ${'x'.repeat(9_000)}\r\n\r\n`,
      { error: 'no_response' },
    ],
    ['', 'HTTP/1.1 102 Processing\r\n\r\n', { error: 'no_response' }],
    ['', '\r\n', { error: 'no_response' }],
    ['HTTP/1.1 200 OK\r\n', 'x: y\r\n', { error: 'no_response' }],
    [chunks, `1;${'e'.repeat(5_000)}\r\n.\r\n`, { status: 200 }],
    [`${chunks}0\r\n`, 'x: y\r\n', { status: 200 }],
  ] as const) {
    const { port, sent } = await floods(t, begin, flood)
    const own = sender(t, { limits: { attempt_ms: 30_000, response_ms: 30_000 } })
    const attempt = await own.post({ ...message, url: `http://127.0.0.1:${port}/` })
    t.match(attempt, end, flood.slice(0, 30))
    // What the buffers of both ends took in before the reader left.
    t.ok((await sent()) < 16 * 1024 * 1024, `${await sent()} bytes`)
  }
})

t.test('what may not be called and what does not exist are not told apart', async t => {
  const attempts = await Promise.all(
    [['10.0.0.1'], []].map(async addresses => {
      const resolve = async () => addresses.map(address => ({ address, family: 4 as const }))
      const guard = new Guard({ allow: [], loopback: false, resolve })
      const own = sender(t, { guard, limits: { unreachable_ms: 300 } })
      const { why, milliseconds, ...told } = await own.post({
        ...message,
        url: 'https://name.example/',
      })
      t.ok(milliseconds >= 299, 'neither is known sooner')
      return { told, why }
    }),
  )
  t.strictSame(
    attempts.map(({ told }) => told),
    [{ error: 'unreachable' }, { error: 'unreachable' }],
  )
  t.strictSame(
    attempts.map(({ why }) => why),
    [{ cause: 'not_allowed' }, { cause: 'dns' }],
    'the log tells',
  )
})

t.test('no connection, no name and no trust are told apart', async t => {
  const { port } = await receiver(t, 200)
  const own = sender(t)
  t.match(await own.post({ ...message, url: `https://127.0.0.1:${port}/` }), { error: 'tls' })
  const guard = new Guard({ allow: [], loopback: true, resolve: async () => [] })
  const nameless = sender(t, { guard })
  t.match(await nameless.post({ ...message, url: 'https://name.example/' }), {
    error: 'unreachable',
  })
  for (const scheme of ['http', 'https']) {
    const url = `${scheme}://127.0.0.1:${await freePort()}/`
    t.match(await own.post({ ...message, url }), { error: 'connect' })
  }
})

t.test('the log is told the cause and its code, and nothing of the receiver', async t => {
  const guard = new Guard({
    allow: [],
    loopback: true,
    resolve: async hostname => {
      throw Object.assign(new Error(`queryA ENOTFOUND ${hostname}`), {
        code: 'ENOTFOUND',
        hostname,
      })
    },
  })
  const notHttp = await floods(t, 'no HTTP at all\r\n', '.')
  const whys: [url: string, why: object][] = [
    ['https://10.0.0.1/', { cause: 'not_allowed' }],
    ['https://secret.example/', { cause: 'dns', code: 'ENOTFOUND' }],
    [`http://127.0.0.1:${await freePort()}/`, { cause: 'refused', code: 'ECONNREFUSED' }],
    [(await receiver(t, hangs)).url, { cause: 'timeout' }],
    [(await receiver(t, hangsUp)).url, { cause: 'reset', code: 'UND_ERR_SOCKET' }],
    [`http://127.0.0.1:${notHttp.port}/`, { cause: 'not_http' }],
    [
      `http://127.0.0.1:${(await floods(t, '', 'HTTP/1.1 103 Early Hints\r\n\r\n')).port}/`,
      { cause: 'too_long' },
    ],
    [
      (await receiver(t, 200)).url.replace('http:', 'https:'),
      { cause: 'tls', code: /^ERR_SSL_\w+$/ },
    ],
  ]
  for (const [url, why] of whys) {
    const attempt = await sender(t, { guard }).post({ ...message, url })
    t.match(attempt.why, why, url)
    t.notMatch(JSON.stringify(attempt), /127\.0|example|10\.0/, 'neither name nor address')
  }
})

t.test('a connection that takes too long is given up', async t => {
  const guard = new Guard({ allow: [], loopback: true, resolve: () => new Promise(() => {}) })
  const own = sender(t, { guard, limits: { connect_ms: 50 } })
  t.match(await own.post({ ...message, url: 'https://name.example/' }), { error: 'connect' })
})

t.test('nothing is connected to for a URL that may not be called', async t => {
  const target = await receiver(t, 200)
  const own = sender(t, { guard: new Guard({ allow: [], loopback: false }) })
  for (const host of privateHosts) {
    for (const scheme of ['http', 'https']) {
      const url = `${scheme}://${host}:${target.port}/`
      t.match(await own.post({ ...message, url }), { error: 'unreachable' }, url)
    }
  }
  const url = target.url.replace('http://', 'http://user:password@')
  t.match(await sender(t).post({ ...message, url }), { error: 'unreachable' })
  t.equal(target.connections(), 0)
})

t.test('an address is refused at the connection too, whatever let it come so far', async t => {
  const target = await receiver(t, 200)
  class Blind extends Guard {
    override refusalOf(): undefined {}
  }
  const own = sender(t, { guard: new Blind({ allow: [], loopback: false }) })
  for (const host of ['127.0.0.1', '[::ffff:127.0.0.1]', 'localhost']) {
    const url = `http://${host}:${target.port}/`
    t.match(await own.post({ ...message, url }), { error: 'unreachable' }, url)
  }
  t.equal(target.connections(), 0)
})

t.test('a socket at another address than was vetted is closed before anything is sent', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  const bytesRead = once(server, 'connection').then(async ([socket]: Socket[]) => {
    if (socket) await once(socket.resume(), 'close')
    return socket?.bytesRead
  })
  await once(server, 'listening')
  class Fooled extends Guard {
    override lookupFor(): ReturnType<Guard['lookupFor']> {
      return (_hostname, _options, callback) =>
        callback(null, [{ address: '127.0.0.1', family: 4 }])
    }
  }
  const own = sender(t, { guard: new Fooled({ allow: ['10.0.0.0/8'], loopback: false }) })
  const url = `http://name.example:${(server.address() as AddressInfo).port}/`
  t.match(await own.post({ ...message, url }), { error: 'unreachable' })
  t.equal(await bytesRead, 0)
})

t.test('a name is resolved once an attempt, and connected to where it was vetted', async t => {
  const target = await receiver(t, 200)
  const answers = ['127.0.0.1', '169.254.169.254']
  const guard = new Guard({
    allow: ['127.0.0.1'],
    loopback: false,
    resolve: async () => [{ address: answers.shift() ?? '', family: 4 }],
  })
  const own = sender(t, { guard })
  const url = `http://rebind.example:${target.port}/hook`
  t.match(await own.post({ ...message, url }), { status: 200 })
  t.equal(target.received[0]?.headers['host'], `rebind.example:${target.port}`)
  t.equal(answers.length, 1)
  t.match(await own.post({ ...message, url }), { error: 'unreachable' })
  t.equal(target.connections(), 1)
})

t.test('a host that is allowed is reached wherever it is', async t => {
  const target = await receiver(t, 200)
  const guard = new Guard({
    allow: ['hooks.internal'],
    loopback: false,
    resolve: async () => [{ address: '127.0.0.1', family: 4 }],
  })
  const own = sender(t, { guard })
  const at = (host: string) => own.post({ ...message, url: `http://${host}:${target.port}/` })
  t.match(await at('hooks.internal'), { status: 200 })
  t.match(await at('hooks.internal.'), { status: 200 })
  t.match(await at('other.internal'), { error: 'unreachable' })
})

t.test('no proxy of the environment is asked', async t => {
  const proxy = await receiver(t, 200)
  const target = await receiver(t, 200)
  const names = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY']
  for (const name of names) {
    process.env[name] = proxy.url
    t.teardown(() => delete process.env[name])
  }
  t.match(await sender(t).post({ ...message, url: target.url }), { status: 200 })
  t.equal(proxy.connections(), 0)
})

t.test('a receiver that hangs does not delay another', async t => {
  const [slow, quick] = [await receiver(t, hangs), await receiver(t, 200)]
  const own = sender(t)
  const hanging = own.post({ ...message, url: slow.url }).catch((error: unknown) => error)
  await slow.nth(1)
  t.match(await own.post({ ...message, url: quick.url }), { status: 200 })
  await own.close()
  t.type(await hanging, Error)
})

t.test('attempts under way when the sender is closed have no outcome', async t => {
  const target = await receiver(t, hangs)
  const own = sender(t)
  const attempts = [1, 2, 3].map(() => own.post({ ...message, url: target.url }))
  await target.nth(3)
  const ends = Promise.allSettled(attempts)
  await own.close()
  for (const { status } of await ends) t.equal(status, 'rejected')
})

/** Says the same to everybody who connects. */
async function rawServer(t: Test, said: string): Promise<number> {
  const server = createServer(socket => socket.on('error', () => undefined).end(said))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** Begins so, and then says one thing as often as it is read. */
async function floods(t: Test, begin: string, flood: string) {
  const chunk = flood.repeat(Math.ceil(65_536 / flood.length))
  const gone: Promise<number>[] = []
  const server = createServer(socket => {
    gone.push(new Promise(resolve => socket.on('close', () => resolve(socket.bytesWritten))))
    const pour = () => {
      while (!socket.destroyed && socket.write(chunk));
    }
    socket.on('error', () => undefined).on('drain', pour)
    socket.resume().once('data', () => {
      socket.write(begin)
      pour()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return { port, sent: async () => Math.max(...(await Promise.all(gone))) }
}

/** A port on which nobody listens any more. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
