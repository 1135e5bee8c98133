import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { RefusalCode } from '../../src/refusals.ts'
import { refusals } from '../../src/refusals/table.ts'
import { document } from '../fixtures/documents.ts'
import { has } from '../fixtures/programs.ts'
import { service } from '../fixtures/service.ts'

const execute = promisify(execFile)
const readme = await document('README.md')
const workers = await document('docs/worker.md')
const [, worker = ''] = /^```python\n(.*?)^```$/ms.exec(readme) ?? []

/** Bytes, after which the connection ends, or one of the two words of `serverOf`. */
type Answer = string

const reply = (status: number, type: string, body: string, more = '') =>
  `HTTP/1.1 ${status} Said\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${more}\r\n${body}`
const json = (body: unknown, status = 200, more = '') =>
  reply(status, 'application/json', JSON.stringify(body), more)
const refused = (code: RefusalCode, members = {}, more = '') =>
  json({ type: `urn:rollcall:problem:${code}`, code, ...members }, refusals[code].status, more)
const page = (status: number, more = '') =>
  reply(status, 'text/html', '<html>Who knows</html>', more)

const granted = json({ outcome: 'granted', claimed: true, settled: false, token: '1.1.x' })
const over = (outcome: string) => json({ outcome, claimed: false, settled: true })
const recorded = json({ outcome: 'recorded', settled: true })
const nothing = 'HTTP/1.1 504 Said\r\ncontent-length: 0\r\n\r\n'

const back = (seconds: number) => `given back for ${seconds}`

/** For each row of the table: answers to the claim, answers to the decrement, and what becomes of the message. The last is repeated. */
const rows: Record<string, [claims: Answer[], decrements: Answer[], end: string][]> = {
  '`granted`': [[[granted], [recorded], 'acknowledged']],
  '`in_progress`': [
    [[json({ claimed: false, settled: false, retry_after_seconds: 86_400 })], [], back(86_400)],
    [[json({ claimed: false, settled: false })], [], back(30)],
  ],
  '`finished`': [[[over('finished')], [], 'acknowledged']],
  '`closed`': [[[over('closed')], [], 'acknowledged']],
  '`exhausted`': [[[over('exhausted')], [], 'acknowledged']],
  '`recorded`': [[[granted], [recorded], 'acknowledged']],
  '`duplicate`': [[[granted], [over('duplicate')], 'acknowledged']],
  '409 `barrier_closed`': [
    [[granted], [refused('barrier_closed', { settled: true })], 'acknowledged'],
  ],
  '409 `stale_generation`': [
    [[granted], [refused('stale_generation', { settled: true })], 'acknowledged'],
  ],
  '409 `stale_token` with a `batch_status`': [
    [[granted], [refused('stale_token', { settled: true })], 'acknowledged'],
  ],
  '409 `stale_token` without one': [
    [[granted], [refused('stale_token', { settled: false })], back(30)],
  ],
  '404 `execution_not_found`': [
    [[refused('execution_not_found')], [], back(30)],
    [[granted], [refused('execution_not_found')], back(30)],
  ],
  '400, 413, 414, 415, 422': (
    [
      'invalid_request',
      'payload_too_large',
      'uri_too_long',
      'unsupported_media_type',
      'batch_out_of_range',
      'unstorable_json',
    ] as const
  ).flatMap((code): [Answer[], Answer[], string][] => [
    [[refused(code)], [], 'dead'],
    [[granted], [refused(code)], 'dead'],
  ]),
  '403, 404 `route_not_found`, 405, 417, 431': (
    [
      'forbidden',
      'route_not_found',
      'method_not_allowed',
      'expectation_failed',
      'headers_too_large',
    ] as const
  ).map(code => [[refused(code)], [], back(30)]),
  '408, 500, 503': [
    [[refused('request_timeout'), granted], [refused('internal_error'), recorded], 'acknowledged'],
    [[refused('overloaded', {}, 'retry-after: 7\r\n'), granted], [recorded], 'acknowledged'],
    [[refused('draining', {}, 'retry-after: 1\r\n')], [], back(16)],
    [[refused('not_ready', {}, 'retry-after: 300\r\n')], [], back(300)],
    [[granted], [refused('database_unavailable')], back(16)],
  ],
  "no answer, or one that is not Rollcall's": [
    page(502),
    nothing,
    granted.slice(0, -9),
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
    'garbage\r\n\r\n',
    `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(200)}\r\n`,
    `HTTP/1.1 200 OK\r\na: ${'b'.repeat(70_000)}\r\n\r\n`,
    page(301, 'location: /elsewhere\r\n'),
    page(302, 'location: http://127.0.0.1:1/\r\n'),
    page(307, 'location: /\r\n'),
    page(308, 'location: /\r\n'),
    page(200),
    page(400),
    page(403),
    page(404),
    page(413),
    page(429, 'retry-after: soon\r\n'),
    page(503, 'retry-after: Fri, 27 Nov 2026 23:00:00 GMT\r\n'),
    page(503, 'retry-after: -5\r\n'),
    page(503, 'retry-after: 1, 2\r\n'),
    page(503, 'retry-after: ²\r\n'),
    page(503, `retry-after: ${'9'.repeat(5_000)}\r\n`),
    json({ message: 'too many' }, 429),
    json({ status: 'ok', type: 7 }),
    json({ code: 'invalid_request' }, 400),
    json([granted]),
    json(null),
    json('settled'),
    reply(200, 'application/json', `{"settled":${'9'.repeat(5_000)}`),
    reply(200, 'application/json', '['.repeat(200_000)),
    reply(200, 'application/json', `"${'x'.repeat(2_000_000)}"`),
    'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xfe',
    'HTTP/1.1 204 No Content\r\n\r\n',
    'HTTP/1.1 103 Early\r\n\r\n',
    '',
    'reset',
    'silence',
  ].flatMap((answer): [Answer[], Answer[], string][] => [
    [[answer, granted], [answer, recorded], 'acknowledged'],
    [[granted], [answer], back(16)],
  ]),
}
/** What is Rollcall's in form but not in what it says. */
const odd: [Answer[], Answer[], string][] = [
  [[json({ claimed: true, settled: false })], [], back(30)],
  [
    [reply(200, 'application/json', '{"claimed":1,"settled":"yes","retry_after_seconds":1e400}')],
    [],
    back(30),
  ],
  [[json({ settled: null, retry_after_seconds: -1 })], [], back(30)],
  [[json({ settled: false, retry_after_seconds: 1e300 })], [], back(30)],
]

const cases = [...Object.values(rows).flat(), ...odd]

t.test('the worker does with every answer what the table says', async t => {
  if (!(await has(t, 'python3'))) return
  const server = await serverOf(t)
  const lines = await work(
    server.address,
    cases.map((_, nth) => [`run-${nth}`, 0]),
  )
  for (const [nth, [claims, decrements, end]] of cases.entries()) {
    const name = JSON.stringify([claims, decrements]).slice(0, 200)
    t.equal(lines.find(({ run }) => run === `run-${nth}`)?.end, end, name)
    for (const [route, member] of [
      ['claim', 'key'],
      ['decrement', 'token'],
    ] as const) {
      const calls = server.calls.filter(call => call.nth === nth && call.route === route)
      t.ok(calls.length <= 5, `${name}: ${route} is tried five times at most`)
      t.equal(new Set(calls.map(call => call[member])).size, Math.min(calls.length, 1), name)
    }
  }
  const keys = new Set(server.calls.flatMap(({ key }) => key ?? []))
  t.equal(keys.size, cases.length, 'each delivery has a key of its own')
})

t.test('a worker waits longer each time, or as long as Retry-After says', async t => {
  if (!(await has(t, 'python3'))) return
  const server = await serverOf(t)
  const waited = async (...answers: Answer[]) => {
    const nth = cases.push([answers, [recorded], '']) - 1
    const [line] = await work(server.address, [[`run-${nth}`, 0]])
    return line?.waits
  }
  t.strictSame(await waited(page(502)), [0, 1, 2, 4, 8])
  t.strictSame(
    await waited(refused('overloaded', {}, 'retry-after: 7\r\n'), page(502), granted),
    [0, 7, 2, 0],
  )
  t.strictSame(await waited(refused('not_ready', {}, 'retry-after: 61\r\n')), [0])
})

t.test('a worker quotes the name of its run', async t => {
  if (!(await has(t, 'python3'))) return
  const replica = await service(t)
  await replica.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = replica.app.server.address() as AddressInfo
  const ids = ['a b', 'é', 'a/b', 'a#b', '%', '?', '%2F', 'a\\b', '..a', '😀', '&=+;:@,']
  for (const id of ids) await replica.enqueue(id, { total: 1 })
  const lines = await work(
    `127.0.0.1:${port}`,
    [...ids, '..', 'a\nb'].map(id => [id, 1]),
  )
  t.strictSame(
    lines.map(({ run, end }) => [run, end]),
    [...ids.map(id => [id, 'acknowledged']), ['..', 'dead'], ['a\nb', 'dead']],
  )
  for (const id of ids) t.equal((await replica.barrier(id)).body.state, 'completed', id)
})

t.test('every row of the table is tried, and says what the worker does', async t => {
  const table = workers.slice(workers.indexOf('| You asked |'), workers.indexOf('So a worker '))
  const found = [...table.matchAll(/^\| (?:claim|decrement|either) +\| (.+?) +\|.*\| (.+?) +\|$/gm)]
  t.strictSame(
    found.map(([, answer]) => answer),
    Object.keys(rows),
  )
  const words: [begins: RegExp, end: RegExp][] = [
    [/^Acknowledge\./, /^acknowledged$/],
    [/^(Drop your work and g|G)ive the message back\./, /^given back/],
    [/^Dead-letter it: /, /^dead$/],
    [/^Do the work\. Then decrement/, /^acknowledged$/],
    [/^Repeat the same call.* give back\.$/, /^acknowledged$|^given back/],
  ]
  for (const [, answer = '', action = ''] of found) {
    const [, end] = words.find(([begins]) => begins.test(action)) ?? []
    for (const [, , ended] of rows[answer] ?? []) t.match(ended, end ?? 'no such row', answer)
  }
})

t.test('the short table of the README names the same statuses', async t => {
  for (const statuses of ['400, 413, 414, 415, 422', '408, 500, 503']) {
    t.ok(readme.includes(`| ${statuses}`), statuses)
    t.ok(statuses in rows, statuses)
  }
})

interface Call {
  nth: number
  route: 'claim' | 'decrement'
  key: string | undefined
  token: string | undefined
}

/** A server that answers each run as its case says. */
async function serverOf(t: Test): Promise<{ address: string; calls: Call[] }> {
  const calls: Call[] = []
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    let text = ''
    socket.on('data', bytes => {
      text += bytes.toString('latin1')
      const [head = '', body] = text.split('\r\n\r\n')
      if (body?.length !== Number(/^content-length: (\d+)/im.exec(head)?.[1])) return
      const [, run = '', route] =
        /^POST \/executions\/run-(\d+)\/.*\/(claim|decrement) /.exec(head) ?? []
      const nth = Number(run)
      const [claims, decrements] = cases[nth] ?? [[], []]
      const answers = route === 'claim' ? claims : decrements
      const before = calls.filter(call => call.nth === nth && call.route === route).length
      calls.push({
        nth,
        route: route as Call['route'],
        key: /^idempotency-key: (.*)/im.exec(head)?.[1],
        token: JSON.parse(body).token,
      })
      const answer = answers[before] ?? answers.at(-1) ?? ''
      if (answer === 'reset') socket.resetAndDestroy()
      else if (answer !== 'silence') socket.end(answer, 'latin1')
    })
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, calls }
}

/** What the worker of the README makes of these messages, and how long it would have waited. */
async function work(
  address: string,
  messages: [run: string, generation: number][],
): Promise<{ run: string; end: string; waits: number[] }[]> {
  const script = `
import json, time, types
ROLLCALL, waits = ${JSON.stringify(address)}, []
time.sleep = waits.append
def ended(run, end):
    print(json.dumps({"run": run, "end": end, "waits": waits[:]}))
    waits.clear()
def message(run, generation):
    return types.SimpleNamespace(run=run, index=0, generation=generation or None,
        acknowledge=lambda: ended(run, "acknowledged"),
        dead_letter=lambda: ended(run, "dead"),
        give_back=lambda seconds: ended(run, f"given back for {seconds}"))
queue = [message(*one) for one in json.loads(${JSON.stringify(JSON.stringify(messages))})]
work = lambda message: {"index": message.index}
${worker.replace('timeout=30', 'timeout=0.3')}`
  const { stdout } = await execute('python3', ['-c', script])
  return stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
}
