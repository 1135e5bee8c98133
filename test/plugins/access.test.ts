import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import t from 'tap'
import { service } from '../fixtures/service.ts'

const s = await service(t, {
  settings: {
    ROLLCALL_HOSTS: 'rollcall, Rollcall.Example.',
    ROLLCALL_PUBLIC_URL: 'https://public.example/rollcall',
  },
})
await s.enqueue('victim', { total: 2 })

const writes: [method: string, url: string][] = [
  ['POST', '/executions/victim/batches/0/claim'],
  ['POST', '/executions/victim/batches/0/finish'],
  ['POST', '/executions/victim/barrier/enqueue'],
  ['POST', '/executions/victim/barrier/abort'],
  ['POST', '/executions/victim/callback/redeliver'],
  ['POST', '/callbacks/claim'],
  ['DELETE', '/executions/victim/batches'],
]
const reads: [method: string, url: string][] = [
  ['GET', '/executions'],
  ['GET', '/executions/victim/barrier?wait_seconds=50'],
  ['GET', '/openapi.json'],
  ['GET', '/docs/static/index.html'],
  ['GET', '/nowhere'],
  ['OPTIONS', '/executions/victim/barrier/abort'],
]

async function statusOf(headers: Record<string, string>, [method, url] = writes[0] ?? ['', '']) {
  const { status, body } = await s.call(method, url, undefined, headers)
  if (status === 403) t.match(body, { code: 'forbidden', detail: String })
  return status
}

t.test('a page of another site gets nothing and changes nothing', async t => {
  // As browsers send them: no-cors, with Sec-Fetch-Site to loopback, without it to any other http address.
  const foreign: Record<string, string>[] = [
    { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' },
    { origin: 'http://localhost:3000', 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
    { origin: 'null', 'sec-fetch-site': 'cross-site' },
    { origin: 'null' },
    { origin: 'https://evil.example' },
    { origin: 'http://localhost:3000', host: 'localhost:8080' },
    { origin: 'http://localhost.evil.example', host: 'localhost' },
    { origin: 'https://evil.example', 'sec-fetch-site': '' },
    { origin: 'https://evil.example, http://localhost:80' },
    { origin: 'https://evil.example', 'x-forwarded-host': 'evil.example' },
    { origin: 'https://evil.example', connection: 'Upgrade', upgrade: 'websocket' },
  ]
  for (const headers of foreign) {
    for (const route of [...writes, ...reads])
      t.equal(await statusOf(headers, route), 403, `${route.join(' ')} ${JSON.stringify(headers)}`)
  }
  t.match((await s.barrier('victim')).body, { state: 'open', remaining: 2 })
  t.strictSame(await s.database.query('select from batches'), [])
})

t.test('a name that was made to resolve to this machine gets nothing', async t => {
  for (const host of [
    'rebind.evil.example:8080',
    'localhost.evil.example',
    'evil.localhost',
    '127.0.0.1.evil.example',
    '127.0.0.1@evil.example',
    '[::1].evil.example',
    '[::1',
    '2130706433',
    '0x7f.1',
    'localhost..',
    'localhost:x',
    '',
  ]) {
    for (const route of [...writes, ...reads])
      t.equal(
        await statusOf({ host, origin: `http://${host}` }, route),
        403,
        `${host} ${route.join(' ')}`,
      )
  }
  t.match((await s.barrier('victim')).body, { state: 'open', remaining: 2 })
})

t.test('addresses, localhost and the names that were given are served', async t => {
  for (const host of [
    '127.0.0.1:8080',
    '10.0.0.7',
    '0.0.0.0:8080',
    '[::1]:8080',
    '[fe80::1%eth0]',
    'localhost',
    'LOCALHOST.:8080',
    'rollcall:8080',
    'rollcall.example',
    'PUBLIC.example',
  ]) {
    t.equal(await statusOf({ host }, ['GET', '/executions']), 200, host)
    const origin = `http://${host}`
    t.equal(await statusOf({ host, origin }, ['GET', '/executions']), 200, `a page at ${origin}`)
  }
  // A proxy that ends TLS, and one that changes the Host.
  for (const headers of [
    { host: 'rollcall', origin: 'https://rollcall' },
    { host: '127.0.0.1:8080', origin: 'https://public.example' },
    { host: '127.0.0.1:8080', origin: 'https://rollcall.example', 'sec-fetch-site': 'same-origin' },
    // Typed into the address bar.
    { host: '127.0.0.1:8080', 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' },
  ]) {
    t.equal(await statusOf(headers, ['GET', '/executions']), 200, JSON.stringify(headers))
  }
})

t.test('a link on another site opens the pages for people and nothing else', async t => {
  const link = {
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'document',
  }
  t.equal(await statusOf(link, ['GET', '/docs']), 200)
  for (const route of [...reads, ...writes].filter(([, url]) => !url.startsWith('/docs')))
    t.equal(await statusOf(link, route), 403, route.join(' '))
  t.equal(await statusOf({ ...link, 'sec-fetch-dest': 'iframe' }, ['GET', '/docs']), 403)
  t.equal(await statusOf({ ...link, host: 'evil.example' }, ['GET', '/docs']), 403)
})

t.test('probes are answered under any name', async t => {
  for (const url of ['/livez', '/readyz', '/health']) {
    const headers = { host: 'balancer.example', origin: 'null', 'sec-fetch-site': 'cross-site' }
    t.equal(await statusOf(headers, ['GET', url]), 200, url)
  }
})

t.test('on an address that others reach, every name is served until names are given', async t => {
  const host = 'rollcall.default.svc:8080'
  const reached = await service(t, { database: s.database, settings: { HOST: '0.0.0.0' } })
  const get = (headers: Record<string, string>) =>
    reached.call('GET', '/executions', undefined, headers)
  t.equal((await get({ host })).status, 200)
  t.equal((await get({ host, origin: `http://${host}` })).status, 200)
  t.equal((await get({ host, origin: 'https://evil.example' })).status, 403)
  t.equal((await get({ host, 'sec-fetch-site': 'cross-site' })).status, 403)

  const named = await service(t, {
    database: s.database,
    settings: { HOST: '0.0.0.0', ROLLCALL_HOSTS: 'rollcall.default.svc' },
  })
  for (const [name, status] of Object.entries({
    [host]: 200,
    '10.1.2.3': 200,
    'evil.example': 403,
  }))
    t.equal(
      (await named.call('GET', '/executions', undefined, { host: name })).status,
      status,
      name,
    )
})

t.test('the target of a request may not name another host than its Host does', async t => {
  await s.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = s.app.server.address() as AddressInfo
  const statusLine = async (head: string) => {
    const socket = connect(port, '127.0.0.1')
    socket.write(`${head}\r\nconnection: close\r\n\r\n`)
    const chunks: Buffer[] = []
    socket.on('data', chunk => chunks.push(chunk))
    await once(socket, 'close')
    return Buffer.concat(chunks).toString().split('\r\n', 1)[0]
  }
  const foreign = 'HTTP/1.1 403 Forbidden'
  t.equal(
    await statusLine('GET http://evil.example/executions HTTP/1.1\r\nhost: localhost'),
    foreign,
  )
  t.equal(
    await statusLine('GET http://localhost@evil.example/executions HTTP/1.1\r\nhost: localhost'),
    foreign,
  )
  t.equal(
    await statusLine('GET http://localhost:8080/executions HTTP/1.1\r\nhost: evil.example'),
    foreign,
  )
  const served = 'HTTP/1.1 200 OK'
  t.equal(
    await statusLine('GET http://localhost:8080/executions HTTP/1.1\r\nhost: localhost'),
    served,
  )
  // No browser leaves the Host out.
  t.equal(await statusLine('GET /executions HTTP/1.0\r\naccept: */*'), served)
})
