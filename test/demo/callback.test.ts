import { EventEmitter, once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import type { ChildProcess } from 'node:child_process'
import t, { type Test } from 'tap'
import { Callback, waiting } from '../../demo/callback.ts'
import type { FromReceiver } from '../../demo/channel.ts'
import type { Attempt } from '../../demo/inbox.ts'
import { Progress } from '../../demo/progress.ts'
import { Rollcall } from '../../demo/rollcall.ts'
import { inWords, type Summary } from '../../demo/summary.ts'

const attempt: Attempt = {
  webhook_id: 'msg_1',
  received_at: '2026-11-23T09:30:00.000Z',
  status: 500,
  signature: 'verified',
  sha256: 'aa',
}

function heard() {
  const written: string[] = []
  const output = new Writable({
    write(chunk, _encoding, done) {
      written.push(String(chunk))
      done()
    },
  })
  const receiver = new EventEmitter()
  const stop = new AbortController()
  const progress = new Progress(output, performance.now())
  const callback = new Callback(receiver as ChildProcess, { progress, stop })
  const say = (said: FromReceiver) => receiver.emit('message', said)
  return { callback, receiver, say, stop, written }
}

t.test('the callback is awaited until an attempt of it is accepted', async t => {
  const { callback, say, written } = heard()
  const url = callback.url()
  say({ type: 'listening', url: 'http://127.0.0.1:1/callback' })
  t.equal(await url, 'http://127.0.0.1:1/callback')

  say({ type: 'attempt', attempt, body: '{}' })
  const body = callback.accepted()
  say({ type: 'attempt', attempt, body: '{}' })
  say({ type: 'attempt', attempt: { ...attempt, status: 204 }, body: '{"a":1}' })
  t.equal(await body, '{"a":1}')
  t.strictSame(
    written,
    [500, 500, 204].map(
      (status, index) =>
        `The receiver gets attempt ${index + 1} of the callback, msg_1, signature verified, and answers ${status}.\n`,
    ),
  )
})

t.test('a receiver that ends stops the demo', async t => {
  const { callback, receiver, stop } = heard()
  const body = callback.accepted()
  receiver.emit('exit', 1)
  await t.rejects(body, { name: 'AbortError' })
  t.match(stop.signal.reason, { message: 'The receiver ended in the demo.' })
})

t.test('the line says which attempt is awaited, for how long, and when it is due', async t => {
  t.equal(waiting(1, 0.4, 0), 'waiting for the callback, attempt 1 of 3, for 0 s, due at once')
  t.equal(
    waiting(3, 12.9, 30),
    'waiting for the callback, attempt 3 of 3, for 12 s, due after 30 s and more',
  )
})

async function service(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('a refused callback ends the demo with the reason and what to set', async t => {
  const url = await service(t, (request, response) => {
    request.resume()
    response
      .writeHead(422)
      .end(JSON.stringify({ code: 'callback_url_refused', detail: 'It is loopback.' }))
  })
  await t.rejects(new Rollcall(url).enqueue('demo', { total: 1 }), {
    name: 'DemoFailure',
    message:
      /: It is loopback\. .*\bROLLCALL_WEBHOOK_SECRET\b.*\bROLLCALL_CALLBACK_ALLOW=127\.0\.0\.1\/32\b/,
  })
})

t.test('the pages of a results_url are read to the end, given as a path or as a URL', async t => {
  const url = await service(t, (request, response) => {
    const isFirst = !request.url?.endsWith('&cursor=next')
    const batch_index = isFirst ? 0 : 1
    response.end(
      JSON.stringify({
        data: [{ batch_index, state: 'succeeded', result: request.url }],
        next_cursor: isFirst ? 'next' : null,
      }),
    )
  })
  const path = '/executions/demo/batches?generation=1'
  const expected = [path, `${path}&cursor=next`]
  for (const given of [path, url + path]) {
    const found = []
    for await (const { result } of new Rollcall(url).pages(given)) found.push(result)
    t.strictSame(found, expected)
  }
})

t.test('what the service says of a callback is read when it is settled', async t => {
  const states = ['due', 'delivering', 'delivered']
  const url = await service(t, (_request, response) => {
    response.end(JSON.stringify({ state: states.shift(), attempts: [{ status: 204 }] }))
  })
  t.strictSame(await new Rollcall(url).callback('demo'), {
    state: 'delivered',
    attempts: [{ status: 204 }],
  })
})

/** The line of the summary. */
function line(callback: Summary['callback']): string | undefined {
  return inWords({ seconds: 1, bytes: 1, callback } as Summary).match(/^ {2}callback +(.*)$/m)?.[1]
}

t.test('the summary tells how the callback arrived', async t => {
  const accepted = { ...attempt, status: 204 }
  t.equal(
    line({ attempts: [attempt, attempt, accepted], faults: [] }),
    '3 deliveries of msg_1; answered 500, 500, 204; the same bytes each time; signature verified; as it has to be',
  )
  t.equal(
    line({
      attempts: [attempt, { ...accepted, webhook_id: 'msg_2', sha256: 'ab' }],
      faults: ['a'],
    }),
    '2 deliveries of msg_1, msg_2; answered 500, 204; 2 different bodies; signature verified; faulty',
  )
})
