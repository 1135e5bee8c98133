import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { service } from '../fixtures/service.ts'

const s = await service(t)
await s.enqueue('open', { total: 10 })
await s.app.listen({ host: '127.0.0.1', port: 0 })

const stored = () =>
  s.database.query(
    `select to_jsonb(barriers) as row from barriers union all select to_jsonb(batches) from batches`,
  )

interface RawReply {
  status: number | undefined
  type: string | undefined
  // oxlint-disable-next-line typescript/no-explicit-any -- tests compare it
  body: any
}

/** Over a real socket, because inject would resolve `..` before the service sees it. */
async function raw(method: string, path: string): Promise<RawReply> {
  const { port } = s.app.server.address() as AddressInfo
  const sent = request({ port, host: '127.0.0.1', method, path, agent: false })
  sent.end()
  const [reply] = (await once(sent, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of reply) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  return {
    status: reply.statusCode,
    type: reply.headers['content-type'],
    body: text === '' ? undefined : JSON.parse(text),
  }
}

t.test('an index in a path is digits only, without leading zeros, to 2147483647', async t => {
  const before = await stored()
  const wrong = [
    '-1',
    '+1',
    '1.5',
    '1.0',
    '1e2',
    '0x10',
    '0b1',
    '%207',
    '7%20',
    '%09',
    '007',
    '00',
    '2147483648',
    '9999999999',
    '99999999999999999999',
    'null',
    'undefined',
    'NaN',
    'Infinity',
    'true',
    '[4]',
    '%5B4%5D',
    '1_000',
    '1,000',
    '%D9%A1',
    '%EF%BC%91',
    '%00',
    '0%00',
    "'",
    '%27%20or%201%3D1',
  ]
  const routes = [
    ['POST', '/claim'],
    ['POST', '/heartbeat'],
    ['POST', '/release'],
    ['POST', '/finish'],
    ['GET', ''],
  ] as const
  for (const index of wrong) {
    for (const [method, action] of routes) {
      const reply = await raw(method, `/executions/open/batches/${index}${action}`)
      const body = {
        type: 'urn:rollcall:problem:invalid_request',
        status: 400,
        code: 'invalid_request',
        errors: [{ path: 'batch_index', message: /, got .+\.$/ }],
      }
      const told = { status: 400, type: 'application/problem+json', body }
      t.match(reply, told, `${method} ${index}${action}`)
    }
  }
  t.strictSame(await stored(), before)
  t.equal((await raw('GET', '/executions/open/batches/2147483647')).status, 404)
})

t.test('an execution id of 1 to 255 bytes is compared byte for byte', async t => {
  const ids = [
    'a',
    'A',
    'x'.repeat(255),
    'ö'.repeat(127),
    '😀'.repeat(63),
    'a/b',
    'a/b/../c',
    'a%2Fb',
    ' a',
    'a ',
    'a+b',
    'a?b#c',
    '...',
    '.a',
    '..a',
    '%',
    "'; drop table batches; --",
    '\u00e9',
    'e\u0301',
    'می\u200cخواهم',
    '👩\u200d💻',
    'constructor',
    '__proto__',
    'claim',
    'null',
  ]
  for (const id of ids) {
    const encoded = encodeURIComponent(id)
    const { status, body } = await raw('POST', `/executions/${encoded}/batches/0/claim`)
    t.equal(status, 200, id)
    t.equal(body.outcome, 'granted', `${id} is an execution of its own`)
  }
  const rows = await s.database.query<{ execution_id: string }>('select execution_id from batches')
  t.strictSame(
    rows.map(({ execution_id }) => execution_id).toSorted(),
    ids.toSorted(),
    'stored as they were sent',
  )
})

t.test('an execution id that is none is refused on every route', async t => {
  const before = await stored()
  const wrong: Record<string, string> = {
    '256 bytes': 'x'.repeat(256),
    '256 bytes in two-byte characters': encodeURIComponent('ö'.repeat(128)),
    '256 bytes in four-byte characters': encodeURIComponent('😀'.repeat(64)),
    'no byte': '',
    'one dot': '.',
    'two dots': '..',
    'one encoded dot': '%2e',
    'two encoded dots': '%2e%2e',
    'two dots, one encoded': '.%2E',
    NUL: 'a%00b',
    'a line break': 'a%0Ab',
    DEL: '%7f',
    'a C1 control': '%c2%85',
    'a mark that turns the direction': 'a%E2%80%AEb',
    'no UTF-8': '%ff',
    'UTF-8 cut off': '%e2%82',
    'overlong UTF-8': '%c0%af',
    'a lone surrogate': '%ed%a0%80',
    'half an escape': '%2',
    'no escape': '%zz',
  }
  const routes = [
    ['POST', '/batches/0/claim'],
    ['POST', '/batches/0/heartbeat'],
    ['POST', '/batches/0/release'],
    ['POST', '/batches/0/finish'],
    ['POST', '/batches/claim'],
    ['GET', '/batches/0'],
    ['GET', '/batches'],
    ['DELETE', '/batches'],
    ['POST', '/barrier/enqueue'],
    ['POST', '/barrier/decrement'],
    ['POST', '/barrier/decrements'],
    ['POST', '/barrier/abort'],
    ['GET', '/barrier'],
    ['GET', '/callback'],
  ] as const
  for (const [words, id] of Object.entries(wrong)) {
    for (const [method, rest] of routes) {
      const reply = await raw(method, `/executions/${id}${rest}`)
      const body = { status: 400, code: 'invalid_request', errors: [{ message: String }] }
      const told = { status: 400, type: 'application/problem+json', body }
      t.match(reply, told, `${words}: ${method} ${rest}`)
    }
  }
  t.strictSame(await stored(), before)
})

t.test('a path parameter longer than any id is too long', async t => {
  for (const length of [1025, 8000]) {
    const { status, body } = await raw('POST', `/executions/${'x'.repeat(length)}/batches/0/claim`)
    t.equal(status, 414)
    t.strictSame(body, {
      type: 'urn:rollcall:problem:uri_too_long',
      title: 'The path is longer than that of any route.',
      status: 414,
      detail: 'The path is longer than that of any route.',
      code: 'uri_too_long',
    })
  }
})

t.test('nothing is coerced, and the refusal names the member, the rule and the value', async t => {
  const before = await stored()
  const asks: [url: string, path: string, body: object][] = [
    ...['3', true, false, null, [4], {}, 1.5, -1, 2_147_483_648, 1e300].flatMap(
      (value): [string, string, object][] => [
        ['/executions/open/batches/0/claim', 'lease_seconds', { lease_seconds: value }],
        ['/executions/open/batches/0/claim', 'generation', { generation: value }],
        ['/executions/open/barrier/decrement', 'batch_index', { batch_index: value }],
        [
          '/executions/open/barrier/decrements',
          'batches.0.batch_index',
          { batches: [{ batch_index: value }] },
        ],
        ['/executions/open/batches/claim', 'batch_indexes.1', { batch_indexes: [0, value] }],
        ['/executions/open/barrier/abort', 'generation', { generation: value }],
        ['/executions/fresh/barrier/enqueue', 'total', { total: value }],
      ],
    ),
    ...[3, true, null, ['w'], {}].flatMap((value): [string, string, object][] => [
      ['/executions/open/batches/0/claim', 'owner', { owner: value }],
      ['/executions/open/batches/0/heartbeat', 'token', { token: value }],
      ['/executions/open/batches/0/release', 'token', { token: value }],
      ['/executions/open/batches/0/finish', 'token', { token: value }],
      ['/executions/open/barrier/decrement', 'token', { batch_index: 0, token: value }],
      ['/executions/open/barrier/decrement', 'status', { batch_index: 0, status: value }],
      ['/executions/open/barrier/abort', 'reason', { reason: value }],
      [
        '/executions/fresh/barrier/enqueue',
        'conflict_policy',
        { total: 1, conflict_policy: value },
      ],
      [
        '/executions/fresh/barrier/enqueue',
        'callback',
        { total: 1, callback: value === null ? 3 : null },
      ],
    ]),
    ...['3', true, null, {}, 0].flatMap((value): [string, string, object][] => [
      ['/executions/open/barrier/decrements', 'batches', { batches: value }],
      ['/executions/open/batches/claim', 'batch_indexes', { batch_indexes: value }],
    ]),
    ['/executions/open/barrier/decrements', 'batches.0', { batches: [null] }],
    ['/executions/open/barrier/decrements', 'batches.0', { batches: [0] }],
    ['/executions/open/barrier/decrement', 'status', { batch_index: 0, status: 'Succeeded' }],
    ['/executions/open/barrier/decrement', 'token', { batch_index: 0, token: '' }],
    ['/executions/open/batches/0/claim', 'owner', { owner: 'a\nb' }],
    ['/executions/open/batches/0/claim', 'owner', { owner: '\ud800' }],
    ['/executions/open/batches/0/heartbeat', 'token', { token: '\0' }],
    ['/executions/open/batches/0/heartbeat', 'token', { token: '\udc00' }],
    ['/executions/open/barrier/abort', 'reason', { reason: '\0' }],
    ['/executions/open/barrier/abort', 'reason', { reason: '\ud800' }],
    ['/executions/open/barrier/abort', 'reason', { reason: 'x'.repeat(1001) }],
  ]
  for (const [url, path, body] of asks) {
    const reply = await s.call('POST', url, body)
    const { status, headers } = reply
    const { errors, ...problem } = reply.body
    t.match(errors[0], { path, message: /.+, got .+\.$/s }, `${url} ${JSON.stringify(body)}`)
    t.strictSame(
      [status, headers['content-type'], problem],
      [
        400,
        'application/problem+json',
        {
          type: 'urn:rollcall:problem:invalid_request',
          title: 'The request breaks a rule of the schema; see errors.',
          status: 400,
          detail: `${path}: ${errors[0].message}`,
          code: 'invalid_request',
        },
      ],
    )
  }
  t.strictSame(await stored(), before)
})

t.test('a long value is shown to its hundredth character, whole', async t => {
  const { body } = await s.call('POST', '/executions/open/barrier/abort', {
    reason: `x${'😀'.repeat(1000)}`,
  })
  t.match(body.errors[0].message, new RegExp(`, got "x${'😀'.repeat(98)}…\\.$`, 'u'))
})

t.test('a rule about two members shows the value of the one it names', async t => {
  const { body } = await s.enqueue('rules', {
    total: 2,
    tolerated_failure_count: 1,
    tolerated_failure_percentage: 50,
  })
  t.strictSame(body.errors, [
    {
      path: 'tolerated_failure_percentage',
      message: 'has to be left out when tolerated_failure_count is given, got 50.',
    },
  ])
})

t.test('an index of any length is told its range', async t => {
  for (const index of ['2147483648', '99999999999', '9'.repeat(400)]) {
    const { body } = await s.claim('open', index)
    t.match(body.errors[0].message, /^has to be 0 to 2147483647, got "[29]/)
  }
})

const claim = (index: number, text: string) =>
  s.call('POST', `/executions/open/batches/${index}/claim`, text)

t.test('a number of a body is judged by value', async t => {
  t.equal((await claim(1, '{"lease_seconds":30.0}')).body.outcome, 'granted')
  t.equal((await claim(2, '{"lease_seconds":3e1}')).body.outcome, 'granted')
  t.equal((await claim(3, '{"generation":1.00}')).body.outcome, 'granted')
  t.equal((await claim(4, '{"lease_seconds":1e400}')).status, 400)
})

t.test('a field that nobody knows is refused by its name', async t => {
  const before = await stored()
  const asks: [url: string, path: string, body: object][] = [
    ['/executions/open/batches/0/claim', 'ttl', { ttl: 3 }],
    ['/executions/open/batches/0/claim', 'Lease_seconds', { Lease_seconds: 30 }],
    ['/executions/open/batches/0/heartbeat', 'generation', { token: 'x', generation: 1 }],
    ['/executions/open/batches/0/release', 'reason', { token: 'x', reason: 'y' }],
    ['/executions/open/batches/0/finish', 'batch_index', { token: 'x', batch_index: 0 }],
    ['/executions/open/batches/claim', 'batches', { batch_indexes: [0], batches: [] }],
    ['/executions/open/barrier/decrement', 'data', { batch_index: 0, data: 1 }],
    [
      '/executions/open/barrier/decrements',
      'batches.1.generation',
      {
        batches: [{ batch_index: 0 }, { batch_index: 1, generation: 1 }],
      },
    ],
    ['/executions/open/barrier/abort', 'message', { message: 'x' }],
    [
      '/executions/fresh/barrier/enqueue',
      'callback.method',
      {
        total: 1,
        callback: { queue: 'q', method: 'GET' },
      },
    ],
  ]
  for (const [url, path, body] of asks) {
    const reply = await s.call('POST', url, body)
    t.equal(reply.status, 400)
    t.strictSame(reply.body, {
      type: 'urn:rollcall:problem:invalid_request',
      title: 'The request breaks a rule of the schema; see errors.',
      status: 400,
      detail: `${path}: There is no such member here.`,
      code: 'invalid_request',
      errors: [{ path, message: 'There is no such member here.' }],
    })
  }
  t.strictSame(await stored(), before)
})

t.test('every member that breaks a rule is named', async t => {
  const { body } = await s.claim('open', 0, { lease_seconds: 1, owner: 7, extra: true })
  t.strictSame(body.errors.map(({ path }: { path: string }) => path).toSorted(), [
    'extra',
    'lease_seconds',
    'owner',
  ])
})

t.test('a query parameter is digits or one of the words, once', async t => {
  const wrong: [path: string, url: string][] = [
    ...['0', '-1', '01', '1.0', '1e2', '0x1', '%207', '', '1001', 'null', 'true'].map(
      (value): [string, string] => ['limit', `/executions?limit=${value}`],
    ),
    ...['0', '-1', '01', '1.5', '2147483648', '', 'null'].flatMap((value): [string, string][] => [
      ['generation', `/executions/open/barrier?generation=${value}`],
      ['generation', `/executions/open/batches?generation=${value}`],
      ['generation', `/executions/open/batches/0?generation=${value}`],
    ]),
    ...['-1', '51', '1.5', '', '01'].map((value): [string, string] => [
      'wait_seconds',
      `/executions/open/barrier?wait_seconds=${value}`,
    ]),
    ['detail', '/executions/open/barrier?detail=everything'],
    ['state', '/executions?state=unclaimed'],
    ['state', '/executions?state='],
    ['state', '/executions/open/batches?state=open'],
    ['state', '/executions/open/batches?state=released'],
    ['prefix', '/executions?prefix='],
    ['prefix', '/executions?prefix=%00'],
    ['prefix', `/executions?prefix=${'x'.repeat(256)}`],
    ['limit', '/executions?limit=1&limit=2'],
    ['limit', '/executions?limit=1&limit=1'],
    ['state', '/executions?state=open&state=open'],
    ['generation', '/executions/open/barrier?generation=1&generation=1'],
    ['wait_seconds', '/executions/open/barrier?wait_seconds=0&wait_seconds=0'],
    ['cursor', '/executions?cursor='],
    ['page', '/executions?page=2'],
    ['Limit', '/executions?Limit=2'],
    ['__proto__', '/executions?__proto__=2'],
    ['wait', '/executions/open/barrier?wait=1'],
    ['detail', '/executions/open/batches?detail=claims'],
    ['state', '/executions/open/batches/0?state=claimed'],
  ]
  for (const [path, url] of wrong) {
    const { status, body } = await s.call('GET', url)
    t.equal(status, 400, url)
    t.match(body, { code: 'invalid_request', errors: [{ path, message: String }] }, url)
  }
})

t.test('a prefix that is not UTF-8 is refused', async t => {
  for (const prefix of ['%ff', '%e2%82', '%zz']) {
    const { status, body } = await raw('GET', `/executions?prefix=${prefix}`)
    t.equal(status, 400, prefix)
    t.match(body, { code: 'invalid_request' })
  }
})

t.test('a query parameter on a route that takes none is refused, and nothing is done', async t => {
  const before = await stored()
  const routes: [method: string, url: string, body?: object][] = [
    ['POST', '/executions/open/batches/0/claim'],
    ['POST', '/executions/open/batches/claim', { batch_indexes: [0] }],
    ['POST', '/executions/open/barrier/decrement', { batch_index: 0 }],
    ['POST', '/executions/open/barrier/decrements', { batches: [{ batch_index: 0 }] }],
    ['POST', '/executions/fresh/barrier/enqueue', { total: 1 }],
    ['POST', '/executions/open/barrier/abort'],
    ['DELETE', '/executions/open/batches'],
    ['GET', '/executions/open/callback'],
  ]
  for (const [method, url, body] of routes) {
    const reply = await s.call(method, `${url}?generation=7`, body)
    t.equal(reply.status, 400, `${method} ${url}`)
    t.match(reply.body, { code: 'invalid_request', errors: [{ path: 'generation' }] })
  }
  t.strictSame(await stored(), before)
})

t.test('an Idempotency-Key is 1 to 255 printable characters of ASCII', async t => {
  const before = await stored()
  for (const key of ['', 'x'.repeat(256), 'ö', 'a\tb']) {
    for (const url of ['/executions/keys/batches/0/claim', '/executions/keys/barrier/enqueue']) {
      const body = url.endsWith('enqueue') ? { total: 1 } : {}
      const reply = await s.call('POST', url, body, { 'idempotency-key': key })
      t.equal(reply.status, 400, JSON.stringify(key))
      t.match(reply.body, { code: 'invalid_request', errors: [{ path: 'idempotency-key' }] })
    }
  }
  t.strictSame(await stored(), before)
  t.equal((await s.claim('keys', 0, {}, 'x'.repeat(255))).status, 200)
  t.equal((await s.claim('keys', 1, {}, 'a b')).status, 200)
})
