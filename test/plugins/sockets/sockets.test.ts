import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { mostAttempts, mostSockets } from '../../../src/descriptors.ts'
import { Sockets } from '../../../src/plugins/sockets/sockets.ts'
import { readConfig } from '../../../src/config.ts'
import { until } from '../../fixtures/gate.ts'

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
const MiB = 1024 * 1024

interface Served {
  sockets: Sockets
  /** What reached the handler and has not closed. */
  open: Set<ServerResponse>
  /** A socket of a caller; nothing is read from it until it is resumed. */
  caller: () => Promise<Socket>
  /** How many requests Node has parsed. */
  parsed: () => number
}

/** A server whose handler is given; its callers read nothing by themselves. */
async function served(
  t: Test,
  handle: (response: ServerResponse, sockets: Sockets) => void,
  most = 1000,
): Promise<Served> {
  const sockets = new Sockets(most)
  const open = new Set<ServerResponse>()
  const server = sockets.serverFor((_request: IncomingMessage, response: ServerResponse) => {
    open.add(response)
    response.once('close', () => open.delete(response))
    handle(response, sockets)
  })
  let parsed = 0
  server.on('request', () => (parsed += 1))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const caller = async () => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.pause()
    socket.on('error', () => undefined)
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  return { sockets, open, caller, parsed: () => parsed }
}

/** What arrives until the other side ends it. */
async function whole(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', chunk => (text += chunk.toString('latin1')))
  socket.resume()
  await new Promise(resolve => socket.once('close', resolve))
  return text
}

/** A reply of so many bytes, told of as the plugin does. */
const reply = (bytes: number) => (response: ServerResponse, sockets: Sockets) => {
  sockets.sent(response, bytes)
  response.end(Buffer.alloc(bytes))
}

t.test('sixteen pipelined requests are answered, in order', async t => {
  let nth = 0
  const { caller } = await served(t, response => response.end(`<${(nth += 1)}>`))
  const socket = await caller()
  socket.write(GET.repeat(15) + GET.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
  const text = await whole(socket)
  t.strictSame(
    text.match(/<\d+>/g),
    Array.from({ length: 16 }, (_, index) => `<${index + 1}>`),
  )
})

t.test('a socket with more than sixteen requests is cut, and nothing of it goes on', async t => {
  let called = 0
  const { open, caller, parsed } = await served(t, () => (called += 1))
  const socket = await caller()
  socket.write(GET.repeat(900))
  t.equal(await whole(socket), '')
  t.equal(called, 16)
  t.equal(parsed(), 17, 'the rest of what was read is not even parsed')
  await until(() => open.size === 0, 'all sixteen are told')
})

t.test('every queued request is told once that its caller is gone', async t => {
  const { open, caller } = await served(t, response => {
    t.equal(response.listenerCount('close') < 5, true)
    response.once('close', () => told.push(response))
  })
  const told: ServerResponse[] = []
  const socket = await caller()
  socket.write(GET.repeat(16))
  await until(() => open.size === 16, 'all wait')
  const waiting = [...open]
  socket.destroy()
  await until(() => open.size === 0, 'none waits')
  t.strictSame(told.length, 16)
  t.strictSame(new Set(told), new Set(waiting))
  t.ok(waiting.every(({ destroyed }) => destroyed))
})

t.test('what nobody reads is bounded in bytes: the reply that waits longest is cut', async t => {
  const { open, caller } = await served(t, reply(8 * MiB))
  const sockets: Socket[] = []
  for (let nth = 0; nth < 8; nth += 1) {
    const socket = await caller()
    sockets.push(socket)
    socket.write(GET)
    await once(socket, 'readable')
  }
  await until(() => open.size === 2, 'two replies of 8 MiB are held')
  const reader = await caller()
  reader.write(GET.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
  t.ok((await whole(reader)).length > 8 * MiB, 'a caller that reads is served meanwhile')
  const lengths = await Promise.all(
    sockets.map(async (socket, nth) => {
      if (nth < 7) return (await whole(socket)).length > 8 * MiB
      return undefined
    }),
  )
  t.strictSame(lengths.slice(0, 7), Array(7).fill(false), 'the first ones are cut')
})

t.test('what nobody reads is bounded in time, and a wait is not counted', async t => {
  let answers = 0
  const { sockets, open, caller } = await served(t, response => {
    answers += 1
    if (answers === 1) response.end(Buffer.alloc(16 * MiB))
  })
  const [stalled, waiting, idle] = [await caller(), await caller(), await caller()]
  stalled.write(GET)
  await until(() => open.size === 1, 'a reply is on its way')
  waiting.write(GET)
  await until(() => open.size === 2, 'another one waits')
  // Whole milliseconds: of others, the sum less one of its parts may be less than the other.
  const now = Math.ceil(performance.now())
  sockets.lookOnce(now)
  sockets.lookOnce(now + 59_000)
  t.equal(open.size, 2)
  sockets.lookOnce(now + 60_000)
  await until(() => open.size === 1, 'the first one is cut')
  t.equal(waiting.destroyed || idle.destroyed, false)
})

t.test('when the service stops, a caller that does not read is cut within a second', async t => {
  const { sockets, open, caller } = await served(t, response =>
    response.end(Buffer.alloc(16 * MiB)),
  )
  const socket = await caller()
  socket.write(GET)
  await until(() => open.size === 1, 'a reply is on its way')
  sockets.lookOnce(0)
  sockets.hurry()
  await until(() => open.size === 0, 'it is cut')
})

t.test('when the service stops, a request that does not arrive is cut within seconds', async t => {
  const { sockets, open, caller } = await served(t, ({ req }) => req.resume())
  const half = 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n'
  const [silent, dripping, sending, waiting] = [
    await caller(),
    await caller(),
    await caller(),
    await caller(),
  ]
  const came: ServerResponse[] = []
  for (const [socket, text] of [
    [silent, `${half}{`],
    [dripping, half],
    [sending, half],
    [waiting, GET],
  ] as const) {
    socket.write(text)
    await until(() => open.size > came.length, 'it is in flight')
    came.splice(0, came.length, ...open)
  }
  /** Sends bytes, and waits until the service has them. */
  const send = async (nth: number, socket: Socket, bytes: number) => {
    const total = (came[nth]?.req.socket.bytesRead ?? 0) + bytes
    socket.write(Buffer.alloc(bytes, ' '))
    await until(() => came[nth]?.req.socket.bytesRead === total, 'the bytes came')
  }
  const isCut = (nth: number) => came[nth]?.destroyed
  sockets.lookOnce(0)
  sockets.lookOnce(60_000)
  t.equal(open.size, 4, 'before, other clocks judge it')
  sockets.hurry(60_000)
  for (const now of [61_000, 62_000, 63_000]) {
    if (now < 62_000) await send(1, dripping, 1)
    await send(2, sending, 64 * 1024)
    sockets.lookOnce(now)
  }
  t.strictSame([isCut(0), isCut(1), isCut(2), isCut(3)], [true, true, false, false])
})

t.test('sockets are bounded: one too many is closed, the others are served', async t => {
  const { caller } = await served(t, response => response.end('ok'), 4)
  const sockets = [await caller(), await caller(), await caller(), await caller()]
  const [first, , , last] = sockets as [Socket, Socket, Socket, Socket]
  t.equal(await whole(await caller()), '')
  last.write(GET)
  last.resume()
  const [scarce] = (await once(last, 'data')) as [Buffer]
  t.match(scarce.toString(), /keep-alive: timeout=5\r\n/i, 'and kept for a short time only')
  for (const socket of sockets.slice(1)) socket.destroy()
  await until(async () => {
    first.write(GET)
    first.resume()
    const [plenty] = (await once(first, 'data')) as [Buffer]
    return /keep-alive: timeout=75\r\n/i.test(plenty.toString())
  }, 'there is room again')
})

t.test(
  'there are half as many sockets as descriptors, less what the service needs itself',
  async t => {
    const config = readConfig({ ROLLCALL_POOL_SIZE: '20' })
    t.equal(mostSockets(config, 2000), (2000 - 20 - 100) / 2)
    t.equal(mostSockets(config, 1_000_000), 10_000)
    t.equal(mostSockets(config, Infinity), 10_000)
    t.equal(mostSockets(config, 64), 16)
    t.ok(mostSockets(config) >= 16)
    t.equal(mostAttempts(config, 2000), (2000 - 20 - 100) / 2, 'and as many callbacks')
    t.equal(mostAttempts(config, 1_000_000), 1_536)
  },
)
