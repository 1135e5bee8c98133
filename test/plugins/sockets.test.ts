import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { until } from '../fixtures/gate.ts'
import { service } from '../fixtures/service.ts'

const s = await service(t)
await s.app.listen({ host: '127.0.0.1', port: 0 })

async function caller(): Promise<Socket> {
  const socket = connect((s.app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

const get = (url: string) => `GET ${url} HTTP/1.1\r\nhost: localhost\r\n\r\n`

const post = (url: string, body: object) => {
  const text = JSON.stringify(body)
  return `POST ${url} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`
}

t.test('whoever leaves in the middle of a wait leaves nothing behind', async t => {
  await s.enqueue('left', { total: 1 })
  const kinds = {
    'waits for ends': () => get('/executions/left/barrier?wait_seconds=50'),
    'waits for callbacks': () => post('/callbacks/claim', { queue: 'left', wait_seconds: 50 }),
  }
  const waiting = () => s.app.ends.waiting + s.app.queues.waiting
  for (const [kind, request] of Object.entries(kinds)) {
    for (const depth of [1, 2, 16]) {
      const socket = await caller()
      socket.write(request().repeat(depth))
      await until(() => waiting() === depth, `${depth} ${kind}`)
      t.equal(s.app.drain.inFlight, depth)
      socket.destroy()
      await until(() => waiting() === 0, `none of ${depth} ${kind}`)
      t.equal(s.app.drain.inFlight, 0, `${depth} ${kind}`)
    }
  }
})

t.test('whoever leaves at whatever moment leaves nothing behind', async () => {
  const bytes = [
    get('/executions/left/barrier?wait_seconds=50'),
    post('/callbacks/claim', { queue: 'left', wait_seconds: 50 }),
    post('/executions/left/barrier/decrements', { batches: [{ batch_index: 0 }] }),
    get('/docs/static/swagger-ui-bundle.js'),
    get('/executions/%zz'),
    get('/nothing'),
    get('/openapi.json'),
  ].join('')
  for (let end = 20; end < bytes.length * 2; end += 41) {
    const socket = await caller()
    socket.write((bytes + bytes).slice(0, end))
    for (let turns = end % 7; turns > 0; turns -= 1) await setImmediate()
    socket.destroy()
  }
  await until(
    () => s.app.ends.waiting + s.app.queues.waiting + s.app.drain.inFlight === 0,
    'nothing waits and nothing is in flight',
  )
})

t.test(
  'of a socket that pipelines deeper than sixteen only sixteen requests are heard',
  async t => {
    const socket = await caller()
    const claims = Array.from({ length: 600 }, (_, index) =>
      post('/executions/deep/batches/claim', { batch_indexes: [index] }),
    )
    socket.write(claims.join(''))
    socket.resume()
    await new Promise(resolve => socket.once('close', resolve))
    await until(() => s.app.drain.inFlight === 0, 'nothing is in flight')
    const [row] = await s.database.query<{ count: number }>(
      `select count(*)::integer from batches where execution_id = 'deep'`,
    )
    t.ok((row?.count ?? 0) <= 16)
  },
)

t.test(
  'the pages and documents are kept in memory: a reply that nobody reads holds no file',
  async t => {
    const urls = [
      '/docs/static/swagger-ui-bundle.js',
      '/docs/static/swagger-ui.css',
      '/docs/json',
      '/docs/yaml',
      '/openapi.json',
      '/openapi-3.0.json',
    ]
    const replies = await Promise.all(urls.map(url => s.app.inject(url)))
    t.strictSame(
      replies.map(({ statusCode, headers }) => [statusCode, headers['content-type']]),
      [
        [200, 'application/javascript; charset=utf-8'],
        [200, 'text/css; charset=utf-8'],
        [200, 'application/json; charset=utf-8'],
        [200, 'application/x-yaml'],
        [200, 'application/json; charset=utf-8'],
        [200, 'application/json; charset=utf-8'],
      ],
    )
    t.equal(replies[0]?.headers['content-security-policy']?.toString().includes("'self'"), true)
    for (const url of ['nothing.js', '%2e%2e/index.js', '..%5cindex.js', '%00'].map(
      name => `/docs/static/${name}`,
    )) {
      t.match((await s.app.inject(url)).json(), { status: 404, code: 'route_not_found' }, url)
    }

    // More than the system takes for a socket, and less than the service keeps: neither sent nor cut, the replies wait.
    const socket = await caller()
    socket.pause()
    socket.write(get('/docs/static/swagger-ui-bundle.js').repeat(9))
    await until(() => s.app.drain.inFlight > 0, 'they are answered')
    t.strictSame(
      process.getActiveResourcesInfo().filter(name => /FS|File/.test(name)),
      [],
    )
    socket.destroy()
    await until(() => s.app.drain.inFlight === 0, 'nothing is in flight')
  },
)
