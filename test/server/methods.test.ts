import { METHODS } from 'node:http'
import t from 'tap'
import { service } from '../fixtures/service.ts'

const s = await service(t)

const allowed: Record<string, string[]> = {
  '/executions': ['GET', 'HEAD'],
  '/executions/a/batches/0/claim': ['POST'],
  '/executions/a/batches/0/heartbeat': ['POST'],
  '/executions/a/batches/0/release': ['POST'],
  '/executions/a/batches/0/finish': ['POST'],
  '/executions/a/batches/0': ['GET', 'HEAD'],
  '/executions/a/batches': ['DELETE', 'GET', 'HEAD'],
  '/executions/a/batches/claim': ['POST'],
  '/executions/a/barrier/enqueue': ['POST'],
  '/executions/a/barrier/decrement': ['POST'],
  '/executions/a/barrier/decrements': ['POST'],
  '/executions/a/barrier/abort': ['POST'],
  '/executions/a/barrier': ['GET', 'HEAD'],
  '/executions/a/callback': ['GET', 'HEAD'],
  '/health': ['GET', 'HEAD'],
  '/livez': ['GET', 'HEAD'],
  '/readyz': ['GET', 'HEAD'],
}
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY']

t.test('a known path with another method says which are allowed', async t => {
  for (const [url, allow] of Object.entries(allowed)) {
    for (const method of methods.filter(each => !allow.includes(each))) {
      const { status, headers, body } = await s.call(method, url)
      t.equal(status, 405, `${method} ${url}`)
      t.equal(headers['allow'], allow.join(', '))
      if (method === 'HEAD') continue
      t.equal(headers['content-type'], 'application/problem+json')
      t.strictSame(body, {
        type: 'urn:rollcall:problem:method_not_allowed',
        title: 'The route exists, but not with this method; see Allow.',
        status: 405,
        detail: `${method} is not allowed here; ${allow.join(', ')} is.`,
        code: 'method_not_allowed',
      })
    }
  }
})

t.test('so does every other method that Node parses', async t => {
  // CONNECT asks for a tunnel, and inject cannot send it; the tests of framing do.
  const rare = METHODS.filter(method => ![...methods, 'CONNECT'].includes(method))
  for (const method of rare) {
    const { status, headers, body } = await s.call(method, '/executions/a/batches', { a: 1 })
    t.equal(status, 405, method)
    t.equal(headers['allow'], 'DELETE, GET, HEAD', method)
    t.equal(body.code, 'method_not_allowed', method)
    t.equal((await s.call(method, '/nowhere')).status, 404, method)
  }
})

t.test('TRACE is a method like the others', async t => {
  const { status, headers, body } = await s.call('TRACE', '/livez')
  t.equal(status, 405)
  t.equal(headers['allow'], 'GET, HEAD')
  t.equal(body.code, 'method_not_allowed')
})

t.test('a method is refused before its body is read', async t => {
  const { status } = await s.call('PUT', '/executions/a/barrier', 'no JSON', {
    'content-type': 'text/plain',
  })
  t.equal(status, 405)
})

t.test('HEAD answers as GET does, without a body', async t => {
  await s.enqueue('head', { total: 1 })
  const { status, text } = await s.call('HEAD', '/executions/head/barrier')
  t.equal(status, 200)
  t.equal(text, '')
  t.equal((await s.call('HEAD', '/executions/nowhere/barrier')).status, 404)
})

t.test('an unknown path is not found, with any method', async t => {
  const urls = [
    '/',
    '/nowhere',
    '/executions/',
    '/executions/a',
    '/executions/a/barrier/',
    '/executions/a/barriers',
    '/executions/a/batches/0/claim/',
    '/Executions',
    '/executions/a/batches/0/CLAIM',
    '//livez',
  ]
  for (const url of urls) {
    for (const method of ['GET', 'POST', 'DELETE']) {
      const { status, headers, body } = await s.call(method, url)
      t.equal(status, 404, `${method} ${url}`)
      t.equal(headers['content-type'], 'application/problem+json')
      t.match(body, {
        type: 'urn:rollcall:problem:route_not_found',
        title: 'There is no such route; see /docs.',
        status: 404,
        detail: String,
        code: 'route_not_found',
      })
    }
  }
  const { body } = await s.call('GET', '/nowhere?secret=1')
  t.equal(body.detail, 'There is no route GET /nowhere; see /docs.', 'and no query is repeated')
})
