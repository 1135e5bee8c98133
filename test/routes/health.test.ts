import t from 'tap'
import { service } from '../fixtures/service.ts'

t.test('a service that can serve is ready and alive', async t => {
  const s = await service(t)
  for (const [url, state] of [
    ['/health', 'ready'],
    ['/readyz', 'ready'],
    ['/livez', 'alive'],
  ] as const) {
    const { status, headers, body } = await s.call('GET', url)
    t.equal(status, 200, url)
    t.match(body, { status: state })
    t.equal(headers['cache-control'], 'no-store')
  }
})

t.test('livez never asks the database', async t => {
  const s = await service(t)
  let asked = 0
  s.app.database.pool.on('acquire', () => (asked += 1))
  for (let call = 0; call < 50; call += 1) await s.call('GET', '/livez')
  t.equal(asked, 0)
})

t.test('a storm of probes costs few queries', async t => {
  const s = await service(t)
  let asked = 0
  s.app.database.pool.on('acquire', () => (asked += 1))
  const replies = await Promise.all(
    Array.from({ length: 200 }, (_, call) => s.call('GET', call % 2 ? '/readyz' : '/health')),
  )
  t.ok(replies.every(({ status }) => status === 200))
  t.ok(asked <= 3, `${asked} queries`)
})

t.test('a probe is answered whatever a balancer adds to it', async t => {
  const s = await service(t)
  const queries = [
    '?verbose=1',
    '?t=1&t=2',
    '?',
    '?%ff=%zz',
    '?cursor=&limit=x',
    `?${'x'.repeat(5000)}`,
  ]
  const headers = { accept: 'text/html', 'content-type': 'text/plain', 'content-length': '0' }
  for (const url of ['/livez', '/readyz', '/health']) {
    for (const query of queries) {
      for (const method of ['GET', 'HEAD']) {
        const { status } = await s.call(method, url + query, undefined, headers)
        t.equal(status, 200, `${method} ${url}${query}`)
      }
    }
  }
})
