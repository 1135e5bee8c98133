import { on, once } from 'node:events'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { json as read } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Desk } from '../../src/plugins/body/desk.ts'
import { ByteBudget, STEP_BYTES } from '../../src/plugins/body/byte-budget.ts'
import { Upload } from '../../src/plugins/body/upload.ts'
import type { Refusal } from '../../src/refusals.ts'
import { poll } from '../../src/database/embedded/poll.ts'
import { service, type Reply } from '../fixtures/service.ts'

const s = await service(t)
await s.enqueue('open', { total: 10 })

const ROUTES_WITH_BODY = [
  '/executions/open/batches/0/claim',
  '/executions/open/batches/0/heartbeat',
  '/executions/open/batches/0/release',
  '/executions/open/batches/0/finish',
  '/executions/open/batches/claim',
  '/executions/fresh/barrier/enqueue',
  '/executions/open/barrier/decrement',
  '/executions/open/barrier/decrements',
  '/executions/open/barrier/abort',
]

/** Everything that is stored, to see that a refusal stored nothing. */
const stored = () =>
  s.database.query(
    `select to_jsonb(barriers) as row from barriers union all select to_jsonb(batches) from batches`,
  )

const post = (url: string, body: unknown, type = 'application/json') =>
  s.call('POST', url, body, { 'content-type': type })

function mustRefuse(t: Test, reply: Reply, code: string, words: string): void {
  const of: Record<string, number> = {
    invalid_request: 400,
    payload_too_large: 413,
    unsupported_media_type: 415,
    unstorable_json: 422,
  }
  const body = {
    type: `urn:rollcall:problem:${code}`,
    title: String,
    status: of[code],
    detail: String,
    code,
  }
  const headers = { 'content-type': 'application/problem+json' }
  t.match(reply, { status: of[code], headers, body }, words)
}

t.test('a body that is not a JSON object is refused on every route', async t => {
  const before = await stored()
  const bodies = [
    'null',
    '[]',
    '3',
    '"text"',
    'true',
    '{',
    '{"a":1',
    '{"a":1}}',
    '{"a":1}{"a":1}',
    "{'a':1}",
    '{a:1}',
    '{"a":1,}',
    '[1,]',
    '{"a":01}',
    '{"a":+1}',
    '{"a":.5}',
    '{"a":NaN}',
    '{"a":Infinity}',
    '{"a":undefined}',
    '{"a":0x10}',
    '{"a":"\u0000"}',
    '{"a":"\n"}',
    String.raw`{"a":"\x41"}`,
    String.raw`{"a":"\u12"}`,
    '// a comment\n{}',
    '{/* a comment */}',
    '\ufeff{}',
    ' ',
    'a=1&b=2',
  ]
  for (const url of ROUTES_WITH_BODY) {
    for (const body of bodies) {
      const reply = await post(url, body)
      mustRefuse(t, reply, 'invalid_request', `${url} ${body}`)
      t.match(reply.body.errors, [{ path: '', message: String }])
    }
  }
  t.strictSame(await stored(), before)
})

t.test('a body that is not UTF-8 is refused', async t => {
  const before = await stored()
  const broken = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]
  for (const bytes of broken) {
    const payload = Buffer.concat([
      Buffer.from('{"owner":"'),
      Buffer.from(bytes),
      Buffer.from('"}'),
    ])
    const reply = await s.app.inject({
      method: 'POST',
      url: '/executions/open/batches/0/claim',
      headers: { 'content-type': 'application/json' },
      payload,
    })
    t.equal(reply.statusCode, 400)
    t.match(reply.json(), {
      code: 'invalid_request',
      detail: 'The body has to be UTF-8.',
      errors: [{ path: '', message: 'The body has to be UTF-8.' }],
    })
  }
  t.strictSame(await stored(), before)
})

t.test('a key twice in one object is refused, wherever and however it is spelled', async t => {
  const before = await stored()
  const bodies: [path: string, url: string, body: string][] = [
    ['owner', '/executions/open/batches/0/claim', '{"owner":"a","owner":"a"}'],
    ['owner', '/executions/open/batches/0/claim', String.raw`{"owner":"a","\u006fwner":"b"}`],
    ['unknown', '/executions/open/batches/0/claim', '{"unknown":1,"unknown":1}'],
    ['result', '/executions/open/barrier/decrement', '{"batch_index":0,"result":1,"result":1}'],
    ['result.a', '/executions/open/barrier/decrement', '{"batch_index":0,"result":{"a":1,"a":1}}'],
    [
      'result.0.a',
      '/executions/open/barrier/decrement',
      '{"batch_index":0,"result":[{"a":1,"b":{"a":1},"a":1}]}',
    ],
    [
      'result.é',
      '/executions/open/barrier/decrement',
      String.raw`{"batch_index":0,"result":{"é":1,"\u00e9":1}}`,
    ],
    [
      'batches.1.batch_index',
      '/executions/open/barrier/decrements',
      '{"batches":[{"batch_index":0},{"batch_index":1,"batch_index":2}]}',
    ],
    [
      'callback.queue',
      '/executions/fresh/barrier/enqueue',
      '{"total":1,"callback":{"queue":"a","queue":"b"}}',
    ],
    [
      'callback.kwargs.a',
      '/executions/fresh/barrier/enqueue',
      '{"total":1,"callback":{"queue":"a","kwargs":{"a":1,"a":2}}}',
    ],
  ]
  for (const [path, url, body] of bodies) {
    const reply = await post(url, body)
    mustRefuse(t, reply, 'invalid_request', body)
    t.match(reply.body.errors, [{ path, message: /twice/ }])
  }
  t.strictSame(await stored(), before)
})

t.test('the same key in different objects is no key twice', async t => {
  const body = '{"batch_index":9,"result":{"a":{"a":[{"a":1},{"a":1}]},"batch_index":9,"result":1}}'
  t.equal((await post('/executions/open/barrier/decrement', body)).body.outcome, 'recorded')
})

t.test('__proto__ is refused, wherever and however it is spelled', async t => {
  const before = await stored()
  const bodies: [path: string, url: string, body: string][] = [
    ['__proto__', '/executions/open/batches/0/claim', '{"__proto__":{"owner":"a"}}'],
    ['__proto__', '/executions/open/batches/0/claim', String.raw`{"__pr\u006fto__":null}`],
    [
      'result.a.__proto__',
      '/executions/open/barrier/decrement',
      '{"batch_index":0,"result":{"a":{"__proto__":1}}}',
    ],
    [
      'batches.0.__proto__',
      '/executions/open/barrier/decrements',
      '{"batches":[{"__proto__":{"batch_index":0}}]}',
    ],
  ]
  for (const [path, url, body] of bodies) {
    const reply = await post(url, body)
    mustRefuse(t, reply, 'invalid_request', body)
    t.match(reply.body.errors, [{ path, message: /__proto__/ }])
  }
  t.strictSame(await stored(), before)
  t.equal(Object.hasOwn(Object.prototype, 'owner'), false)
})

t.test('names that every object has are ordinary unknown members', async t => {
  for (const name of ['constructor', 'toString', 'hasOwnProperty', 'prototype', '']) {
    const reply = await post('/executions/open/batches/0/claim', { [name]: 1 })
    mustRefuse(t, reply, 'invalid_request', name)
    t.match(reply.body.errors, [{ path: name }])
  }
})

t.test('a body deeper than the limit is refused, however deep', async t => {
  const before = await stored()
  for (const depth of [100, 5_000, 100_000]) {
    const deep = `{"batch_index":0,"result":${'['.repeat(depth)}${']'.repeat(depth)}}`
    mustRefuse(t, await post('/executions/open/barrier/decrement', deep), 'invalid_request', '[')
    const objects = `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
    mustRefuse(t, await post('/executions/open/batches/0/claim', objects), 'invalid_request', '{')
  }
  for (const text of ['['.repeat(100_000), '{"a":'.repeat(100_000)]) {
    mustRefuse(
      t,
      await post('/executions/open/batches/0/claim', text),
      'invalid_request',
      'cut off',
    )
  }
  t.strictSame(await stored(), before)
  const fits = `{"batch_index":8,"result":${'['.repeat(99)}${']'.repeat(99)}}`
  t.equal((await post('/executions/open/barrier/decrement', fits)).body.outcome, 'recorded')
})

t.test('the limit of depth is a setting', async t => {
  const shallow = await service(t, {
    database: s.database,
    settings: { ROLLCALL_JSON_DEPTH_LIMIT: '3' },
  })
  const decrement = (result: unknown) => shallow.decrement('open', { batch_index: 7, result })
  t.equal((await decrement([[[]]])).status, 400)
  t.equal((await decrement([[]])).status, 200)
})

t.test('NUL and lone surrogates in JSON of a caller are unstorable', async t => {
  const before = await stored()
  const odd = [
    String.raw`"\u0000"`,
    String.raw`"a\u0000b"`,
    String.raw`"\ud800"`,
    String.raw`"\udc00\ud800"`,
    String.raw`{"\u0000":1}`,
    String.raw`{"a":[{"b":"\udfff"}]}`,
    String.raw`{"\ud83d":1}`,
  ]
  for (const json of odd) {
    const asks: [path: string, url: string, body: string][] = [
      ['result', '/executions/open/barrier/decrement', `{"batch_index":0,"result":${json}}`],
      [
        'error',
        '/executions/open/barrier/decrement',
        `{"batch_index":0,"status":"failed","error":${json}}`,
      ],
      ['result', '/executions/open/batches/0/finish', `{"token":"x","result":${json}}`],
      ['metadata', '/executions/fresh/barrier/enqueue', `{"total":1,"metadata":${json}}`],
      [
        'callback.headers',
        '/executions/fresh/barrier/enqueue',
        `{"total":1,"callback":{"queue":"q","headers":${json}}}`,
      ],
      [
        'batches.1.result',
        '/executions/open/barrier/decrements',
        `{"batches":[{"batch_index":0},{"batch_index":1,"result":${json}}]}`,
      ],
    ]
    for (const [path, url, body] of asks) {
      const reply = await post(url, body)
      mustRefuse(t, reply, 'unstorable_json', body)
      t.match(reply.body.errors, [{ path }])
    }
  }
  t.strictSame(await stored(), before)
})

t.test('what Postgres can store is not refused: escaped control characters and pairs', async t => {
  const body = String.raw`{"batch_index":6,"result":{"\u0001":"\u001f\ud83d\ude00\\u0000"}}`
  t.equal((await post('/executions/open/barrier/decrement', body)).body.outcome, 'recorded')
  t.strictSame((await s.batch('open', 6)).body.result, { '\u0001': '\u001f😀\\u0000' })
})

const result = (bytes: number) => 'x'.repeat(bytes - 2)

t.test('a result, an error or a body above its limit is too large', async t => {
  const before = await stored()
  const { status, body } = await s.decrement('open', {
    batch_index: 0,
    result: result(256 * 1024 + 1),
  })
  t.equal(status, 413)
  t.strictSame(body, {
    type: 'urn:rollcall:problem:payload_too_large',
    title: 'The body, or a value in it, is larger than the limit.',
    status: 413,
    detail: 'result has more bytes of JSON than the 262144 that are taken.',
    code: 'payload_too_large',
    errors: [{ path: 'result', message: 'At most 262144 bytes of JSON.' }],
  })
  mustRefuse(
    t,
    await s.decrement('open', { batch_index: 0, status: 'failed', error: result(16 * 1024 + 1) }),
    'payload_too_large',
    'error',
  )
  mustRefuse(
    t,
    await s.decrement('open', { batch_index: 0, result: '€'.repeat(90_000) }),
    'payload_too_large',
    'bytes, not characters',
  )
  for (const url of ROUTES_WITH_BODY.filter(each => !/batches\/claim|decrements/.test(each))) {
    const reply = await post(url, `{"owner":"${'x'.repeat(1024 * 1024)}"}`)
    t.equal(reply.status, 413)
    t.strictSame(reply.body, {
      type: 'urn:rollcall:problem:payload_too_large',
      title: 'The body, or a value in it, is larger than the limit.',
      status: 413,
      detail: 'The body, or a value in it, is larger than the limit.',
      code: 'payload_too_large',
    })
  }
  t.strictSame(await stored(), before)
  t.equal((await s.decrement('open', { batch_index: 5, result: result(256 * 1024) })).status, 200)
})

t.test('a bulk body may be larger, to a limit of its own', async t => {
  const padding = ' '.repeat(2 * 1024 * 1024)
  const url = '/executions/open/batches/claim'
  t.equal((await post(url, `{"batch_indexes":[99]}${padding}`)).status, 200)
  mustRefuse(
    t,
    await post(url, `{"batch_indexes":[99]}${' '.repeat(16 * 1024 * 1024)}`),
    'payload_too_large',
    'bulk',
  )
})

const MiB = 1024 * 1024

/** The head of a bulk call; of unknown length without `bytes`. */
const headOf = (bytes?: number) =>
  `POST /executions/run/barrier/decrements HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n` +
  `${bytes === undefined ? 'transfer-encoding: chunked' : `content-length: ${bytes}`}\r\n\r\n`

/** A replica with little room, on a port. */
async function smallReplica(t: Test) {
  const small = await service(t, {
    settings: {
      ROLLCALL_BODIES_LIMIT_BYTES: String(MiB),
      ROLLCALL_BULK_BODY_LIMIT_BYTES: String(MiB),
      ROLLCALL_POOL_WAIT_SECONDS: '1',
    },
  })
  await small.enqueue('run', { total: 100 })
  await small.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = small.app.server.address() as AddressInfo
  /** A socket that sends `text` and no more. */
  const begin = (text: string) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    socket.on('error', () => undefined)
    t.teardown(() => socket.destroy())
    return socket
  }
  const decrement = async (batch_index: number, bytes: number) => {
    const sent = request({ port, method: 'POST', path: '/executions/run/barrier/decrements' })
    sent.setHeader('content-type', 'application/json')
    sent.on('error', () => undefined)
    sent.end(JSON.stringify({ batches: [{ batch_index }] }).padEnd(bytes))
    const [reply] = (await once(sent, 'response')) as [IncomingMessage]
    return { status: reply.statusCode, body: await read(reply) }
  }
  return { small, begin, decrement }
}

const served = { status: 200 }

t.test('a body that is announced and does not come takes no room, and is given up', async t => {
  const { begin, decrement } = await smallReplica(t)
  const halves = [headOf(MiB), headOf(MiB), `${headOf()}1\r\n`].map(head => begin(`${head}{`))
  t.match(await decrement(0, 900_000), served)
  for (const half of halves) {
    const [reply] = (await once(half, 'data')) as [Buffer]
    t.match(reply.toString(), /^HTTP\/1\.1 408 [^]*connection: close[^]*65536 bytes a second/)
    await once(half, 'close')
  }
})

t.test('an upload that finds no room is paused, then refused; room is given back', async t => {
  const budget = new ByteBudget(MiB)
  const uploadOf = (announcedBytes: number) => {
    const source = new PassThrough()
    const terms = { budget, refusal: null, announcedBytes, mostBytes: MiB, waitMs: 20 }
    const ended = new Promise<{ error: Refusal | null; bytes: Buffer; release: () => void }>(
      resolve => {
        const upload = new Upload(source as unknown as IncomingMessage, terms, (error, bytes) =>
          resolve({ error, bytes, release: () => upload.release() }),
        )
      },
    )
    return { source, ended }
  }
  for (const end of ['end', 'destroy'] as const) {
    const holder = uploadOf(MiB)
    for (let sent = 0; sent < 16; sent += 1) holder.source.write(Buffer.alloc(64_000))
    await poll(async () => holder.source.readableLength === 0 || undefined)
    const late = uploadOf(NaN)
    for (let sent = 0; sent < 9; sent += 1) late.source.write(Buffer.alloc(100_000))
    t.equal((await late.ended).error?.code, 'overloaded')
    const small = uploadOf(NaN)
    small.source.end(Buffer.alloc(16_000))
    t.equal((await small.ended).bytes.length, 16_000)
    holder.source[end]()
    const { release } = await holder.ended
    release()
  }
  const last = uploadOf(900_000)
  last.source.end(Buffer.alloc(900_000))
  t.equal((await last.ended).bytes.length, 900_000)
})

t.test('a caller that hangs up gives its room back, also behind another request', async t => {
  const { small, begin, decrement } = await smallReplica(t)
  const wait = 'GET /executions/run/barrier?wait_seconds=50 HTTP/1.1\r\nhost: localhost\r\n\r\n'
  for (const before of ['', wait]) {
    const arrived = on(small.app.server, 'request')
    const holder = begin(`${before}${headOf(MiB)}{${' '.repeat(MiB - 10_000)}`)
    await arrived.next()
    if (before !== '') await arrived.next()
    holder.destroy()
    await poll(async () => (await decrement(3, 900_000)).status === 200 || undefined)
  }
  t.match(await Promise.all([decrement(4, 900_000), decrement(5, 20_000)]), [served, served])
})

t.test('a caller that hangs up while its body is read gives its room back', async t => {
  const { small, begin, decrement } = await smallReplica(t)
  const member = { batch_index: 0, result: 'x'.repeat(100_000) }
  const whole = JSON.stringify({ batches: Array.from({ length: 9 }, () => member) })
  for (const batch_index of [10, 11]) {
    const gone = new Promise<void>(resolve => {
      small.app.server.once('request', (sent: IncomingMessage, response: ServerResponse) => {
        sent.once('end', () => response.destroy())
        response.once('close', resolve)
      })
    })
    begin(`${headOf(whole.length)}${whole}`)
    await gone
    t.match(await decrement(batch_index, 900_000), served)
  }
})

t.test('a caller that hangs up while its body waits for its turn waits no longer', async t => {
  const desk = new Desk(MiB, 1_000_000)
  const events: string[] = []
  const take = (name: string, bytes: number) =>
    desk.take(
      bytes,
      () => events.push(`${name} enters`),
      ({ code }) => events.push(`${name}: ${code}`),
    )
  take('holder', MiB - 1)
  const leave = take('gone', MiB)
  take('smaller', 1)
  leave()
  leave()
  t.strictSame(events, ['holder enters', 'gone: invalid_request', 'smaller enters'])
})

t.test(
  'budget: what is large leaves a part to the others, and the oldest may always go on',
  async t => {
    const budget = new ByteBudget(4 * STEP_BYTES)
    const resumed: string[] = []
    const holder = (name: string, isLarge: boolean) => ({
      isLarge: () => isLarge,
      resume: () => resumed.push(name),
    })
    const [first, second, small] = [
      holder('first', true),
      holder('second', true),
      holder('small', false),
    ]
    t.ok(budget.reserve(first))
    t.ok(budget.reserve(second))
    t.ok(budget.reserve(second))
    t.notOk(budget.reserve(second), 'a quarter is not for it')
    t.ok(budget.reserve(small))
    t.notOk(budget.reserve(small))
    t.ok(budget.reserve(first), 'or nobody would ever go on')
    budget.settle(first, 2 * STEP_BYTES)
    t.strictSame(resumed, [])
    budget.release(first)
    t.strictSame(resumed, ['second'])
    budget.release(first)
    budget.release(second)
    t.strictSame(resumed, ['second', 'small'])
    budget.release(small)
    t.ok(
      [1, 2, 3].every(() => budget.reserve(first)),
      'all of it was given back',
    )
  },
)

t.test('uploads that wait and hold nothing do not look for each other when they leave', async t => {
  const budget = new ByteBudget(STEP_BYTES)
  let looks = 0
  const holders = Array.from({ length: 1_000 }, () => ({
    isLarge: () => {
      looks += 1
      return false
    },
    resume: () => undefined,
  }))
  for (const holder of holders) budget.reserve(holder)
  looks = 0
  for (const holder of holders.slice(1)) budget.release(holder)
  t.equal(looks, 0)
})

t.test('a body of another media type is refused', async t => {
  const before = await stored()
  const types = [
    'text/plain',
    'text/json',
    'application/jsonx',
    'application/json-patch+json',
    'application/problem+json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/octet-stream',
    'json',
    '',
  ]
  for (const url of ROUTES_WITH_BODY) {
    for (const type of types) {
      const reply = await post(url, '{"total":1}', type)
      t.equal(reply.status, 415, `${url} ${type}`)
      t.strictSame(reply.body, {
        type: 'urn:rollcall:problem:unsupported_media_type',
        title: 'The body must be application/json in UTF-8, without a Content-Encoding.',
        status: 415,
        detail: `The Content-Type has to be application/json, got ${type}.`,
        code: 'unsupported_media_type',
      })
    }
  }
  t.strictSame(await stored(), before)
})

t.test(
  'a body with an encoding, another charset or two types is refused by the header',
  async t => {
    const before = await stored()
    const wrong: [headers: Record<string, string>, detail: RegExp][] = [
      [{ 'content-encoding': 'gzip' }, /Content-Encoding has to be left out, got gzip/],
      [{ 'content-encoding': 'identity, gzip' }, /Content-Encoding/],
      [{ 'content-type': 'application/json; charset=iso-8859-1' }, /charset.*iso-8859-1/],
      [{ 'content-type': 'application/json;a=b;CHARSET="utf-16"' }, /charset/],
      [{ 'transfer-encoding': 'gzip, chunked' }, /Transfer-Encoding has to be chunked, got gzip/],
    ]
    for (const [headers, detail] of wrong) {
      const all = { 'content-type': 'application/json', ...headers }
      const reply = await s.call('POST', '/executions/open/batches/0/claim', '{}', all)
      mustRefuse(t, reply, 'unsupported_media_type', JSON.stringify(headers))
      t.match(reply.body.detail, detail)
    }
    t.strictSame(await stored(), before)
    const { small, begin } = await smallReplica(t)
    const twice = begin(
      'POST /executions/run/batches/0/claim HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n' +
        'Content-Type: text/plain\r\ncontent-length: 2\r\n\r\n{}',
    )
    const [reply] = (await once(twice, 'data')) as [Buffer]
    t.match(reply.toString(), /^HTTP\/1\.1 400 [^]*content-type: It may be sent once only/)
    t.equal((await small.claim('run', 0)).body.attempt, 1, 'it was not granted')
  },
)

t.test('a body that is not there has no type and no encoding', async t => {
  const { small, begin } = await smallReplica(t)
  const heads = [
    'content-length: 0\r\ncontent-type: application/x-www-form-urlencoded',
    'content-length: 0\r\ncontent-type: text',
    'content-length: 0\r\ncontent-encoding: gzip',
    'content-type: text/plain',
    'transfer-encoding: chunked',
    'transfer-encoding: chunked\r\ncontent-type: text/plain; charset=utf-16',
  ]
  for (const [index, head] of heads.entries()) {
    const end = head.startsWith('transfer') ? '0\r\n\r\n' : ''
    const socket = begin(
      `POST /executions/run/batches/${index}/claim HTTP/1.1\r\nhost: localhost\r\n${head}\r\n\r\n${end}`,
    )
    const [reply] = (await once(socket, 'data')) as [Buffer]
    t.match(reply.toString(), /^HTTP\/1\.1 200 /, head)
  }
  t.equal(
    (await small.call('DELETE', '/executions/none/batches', '', { 'content-type': 'text/plain' }))
      .status,
    200,
  )
})

t.test('application/json is taken in any case and with parameters', async t => {
  for (const type of [
    'application/json; charset=utf-8',
    'Application/JSON',
    'application/json;charset=UTF-8',
    'application/json; CharSet="utf-8"',
    'application/json;',
    'application/json ; version=1',
  ]) {
    t.equal((await post('/executions/typed/batches/0/claim', '{}', type)).status, 200, type)
  }
})

t.test('an absent or empty body is enough where no field is required', async t => {
  const typed = { 'content-type': 'application/json' }
  for (const url of ['/executions/empty/batches/0/claim', '/executions/open/barrier/abort']) {
    t.equal((await s.call('POST', url)).status, 200)
    t.equal((await s.call('POST', url, '', typed)).status, 200)
    t.equal((await s.call('POST', url, {})).status, 200)
  }
  t.equal((await s.call('DELETE', '/executions/empty/batches')).status, 200)
  t.equal((await s.call('DELETE', '/executions/empty/batches', '', typed)).status, 200)
  t.equal((await s.call('DELETE', '/executions/empty/batches', {})).status, 200)
})

t.test('an absent or empty body is refused where a field is required, by its name', async t => {
  const required: Record<string, string> = {
    '/executions/open/batches/0/heartbeat': 'token',
    '/executions/open/batches/0/release': 'token',
    '/executions/open/batches/0/finish': 'token',
    '/executions/open/batches/claim': 'batch_indexes',
    '/executions/fresh/barrier/enqueue': 'total',
    '/executions/open/barrier/decrement': 'batch_index',
    '/executions/open/barrier/decrements': 'batches',
  }
  for (const [url, path] of Object.entries(required)) {
    for (const body of [undefined, '', {}]) {
      const reply = await s.call('POST', url, body, { 'content-type': 'application/json' })
      t.equal(reply.status, 400)
      t.strictSame(reply.body, {
        type: 'urn:rollcall:problem:invalid_request',
        title: 'The request breaks a rule of the schema; see errors.',
        status: 400,
        detail: `${path}: It is required.`,
        code: 'invalid_request',
        errors: [{ path, message: 'It is required.' }],
      })
    }
  }
})

t.test('a DELETE with members that nobody knows is refused', async t => {
  await s.claim('kept', 0)
  const reply = await s.call('DELETE', '/executions/kept/batches', { generation: 7 })
  mustRefuse(t, reply, 'invalid_request', 'DELETE')
  t.equal((await s.batch('kept', 0)).body.state, 'claimed', 'and nothing was cleared')
})
