import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { freshDatabase } from '../fixtures/database.ts'
import { times, together, until } from '../fixtures/gate.ts'
import { build, caller, serve, type Served } from '../fixtures/process.ts'

const root = await build(t)

/** A caller that writes and never reads. */
async function deaf(t: Test, { url }: Served): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.pause()
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  await new Promise(resolve => socket.once('connect', resolve).once('close', resolve))
  return socket
}

/** Resident memory of a process, where the system tells. */
async function memoryMiB({ process: { pid } }: Served): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024
}

const get = (url: string) => `GET ${url} HTTP/1.1\r\nhost: localhost\r\n\r\n`

const post = (url: string, body: object) => {
  const text = JSON.stringify(body)
  return `POST ${url} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`
}

const floods: Record<string, string> = {
  pages: get('/executions/big/batches?limit=1000'),
  documents: get('/openapi.json'),
  'docs pages': get('/docs/static/swagger-ui-bundle.js'),
  waits: get('/executions/open/barrier?wait_seconds=50'),
  pulls: post('/callbacks/claim', { queue: 'none', wait_seconds: 50 }),
  'bulk claims': post('/executions/open/batches/claim', {
    batch_indexes: Array.from({ length: 100 }, (_, index) => index),
  }),
}

/** Requests that never become whole: in a head, in a small body, and in large ones, of which some wait for room. */
const halves = [
  'GET /livez HTTP/1.1\r\nhost:',
  post('/executions/open/batches/0/claim', { owner: 'a' }).slice(0, -1),
  post('/executions/open/batches/claim', { owner: 'a'.repeat(300_000) }).slice(0, -1),
]

t.test('callers that pipeline and never read cost little, and hold up nobody', async t => {
  const most = Math.min(200, times(100))
  const database = await freshDatabase(t)
  // As `npm start` runs it; otherwise node lets the heap grow first, and looks later.
  const node = ['--max-semi-space-size=8', '--heap-growing-percent=30']
  const served = await serve(t, root, { DATABASE_URL: database.url }, { node })
  const call = caller(served.url)
  await call('POST', '/executions/open/barrier/enqueue', { total: 1000 })
  await call('POST', '/executions/big/barrier/enqueue', { total: 5 })
  for (const batch_index of [0, 1, 2, 3])
    await call('POST', '/executions/big/barrier/decrement', {
      batch_index,
      result: 'x'.repeat(262_000),
    })
  // Once each by callers that do read: what a service loads and compiles for its first requests is not the flood's.
  for (let nth = 0; nth < 50; nth += 1)
    for (const path of [
      '/executions/big/batches?limit=1000',
      '/openapi.json',
      '/docs/static/swagger-ui-bundle.js',
    ])
      await fetch(served.url + path).then(reply => reply.arrayBuffer())
  const before = await memoryMiB(served)
  t.comment(`the service holds ${Math.round(before)} MiB at the start`)
  let highest = before
  let slowestMs = 0
  const look = async () => {
    const begun = performance.now()
    await fetch(`${served.url}/livez`)
    slowestMs = Math.max(slowestMs, performance.now() - begun)
    highest = Math.max(highest, await memoryMiB(served))
  }
  for (const [kind, request] of Object.entries(floods)) {
    for (const depth of [1000, 16]) {
      slowestMs = 0
      await together(most, async () => {
        const socket = await deaf(t, served)
        socket.write(request.repeat(depth))
      })
      for (let looks = 0; looks < 40; looks += 1) await look()
      t.comment(
        `${most} sockets, ${depth} ${kind} on each: /livez ${Math.round(slowestMs)} ms at most, ${Math.round(highest - before)} MiB above the start`,
      )
    }
  }
  t.ok(highest - before < 100, 'memory stays within 100 MiB of its start')
  for (const half of halves) {
    await together(most, async () => {
      const socket = await deaf(t, served)
      socket.write(half)
    })
  }
  const begun = performance.now()
  served.process.kill('SIGTERM')
  t.equal(await served.exited, 0)
  const stoppedMs = performance.now() - begun
  t.comment(`SIGTERM: ${Math.round(stoppedMs)} ms`)
  t.ok(stoppedMs < 5_000, 'and the service ends as fast as ever')
})

t.test('more sockets than descriptors: the pool and the probes keep theirs', async t => {
  const database = await freshDatabase(t)
  const served = await serve(t, root, { DATABASE_URL: database.url }, { descriptors: 400 })
  const call = caller(served.url)
  await call('POST', '/executions/open/barrier/enqueue', { total: 1 })
  const sockets = await together(450, async () => {
    const socket = await deaf(t, served)
    socket.resume()
    socket.write(get('/livez'))
    return socket
  })
  await until(
    () => sockets.some(({ closed, destroyed }) => closed || destroyed),
    'some are refused',
  )
  // Those above three quarters are kept for five seconds only, so that there is room for others.
  await until(
    async () =>
      (await call('GET', '/readyz').then(
        ({ status }) => status,
        () => 0,
      )) === 200,
    'a new socket is served',
  )
  await until(
    async () =>
      (await call('GET', '/executions/open/barrier').then(
        ({ status }) => status,
        () => 0,
      )) === 200,
    'and so is one that asks the database',
  )
  t.notMatch(served.output(), /EMFILE/)
})
