import t from 'tap'
import { type Document, type Schema, within } from '../openapi/document.ts'
import { type Reply, service } from './fixtures/service.ts'

const s = await service(t)
const encoded = encodeURIComponent

const unseen = [
  ...between(0x00, 0x1f),
  ...between(0x7f, 0x9f),
  0xad,
  0x61c,
  0x180e,
  0x200b,
  0x200e,
  0x200f,
  0xfeff,
  ...between(0x2028, 0x202e),
  ...between(0x2060, 0x206f),
  ...between(0xfff9, 0xfffb),
].map(point => String.fromCodePoint(point))

/** Names and notes of people, in scripts that are spelled with joiners too, and up to the last character of Unicode. */
const seen = [
  'می‌خواهم',
  'क्‍ष',
  '👩‍💻 worker',
  '\u200c\u200d',
  'שלום عالم',
  '\u00a0 \u3000',
  'e\u0301',
  '\ufe0f\ufffd\u{10ffff}',
]

/** Every text of a caller's that people read, with a call that brings it. */
const texts: Record<string, (text: string, nth: number) => Promise<Reply>> = {
  execution_id: text => s.call('GET', `/executions/${encoded(text)}/barrier`),
  prefix: text => s.call('GET', `/executions?prefix=${encoded(text)}`),
  owner: (owner, nth) => s.claim('text', nth, { owner }),
  'owner of many': (owner, nth) =>
    s.call('POST', '/executions/texts/batches/claim', { batch_indexes: [nth], owner }),
  reason: (reason, nth) => s.abort(`aborted ${nth}`, { reason }),
  queue: queue => s.pull(queue),
  'callback.queue': (queue, nth) => s.enqueue(`queue ${nth}`, { total: 1, callback: { queue } }),
  'callback.task_name': (task_name, nth) =>
    s.enqueue(`task ${nth}`, { total: 1, callback: { queue: 'q', task_name } }),
}

for (const [name, call] of Object.entries(texts)) {
  const [path = ''] = name.split(' ')

  t.test(`${name} is refused with a character that is not seen, which is named`, async t => {
    for (const [nth, character] of unseen.entries()) {
      const point = `U+${hexOf(character).toUpperCase()}`
      const { status, body, text } = await call(`a${character}b`, nth)
      const rule = `has to be without control characters and other invisible ones, but has ${point}`
      const told = { code: 'invalid_request', errors: [{ path, message: String }] }
      t.match({ status, body }, { status: 400, body: told }, point)
      t.ok(body.errors[0].message.startsWith(`${rule}, got "a\\`), body.errors[0].message)
      t.notOk(text.includes(character), `the refusal does not repeat ${point}`)
    }
  })

  t.test(`${name} may be of any script`, async t => {
    for (const [nth, text] of seen.entries()) t.not((await call(text, nth)).status, 400, text)
  })
}

t.test('a URL is refused with a character that is not seen, before it is called', async t => {
  for (const character of unseen) {
    const { status, body } = await s.enqueue('url', {
      total: 1,
      callback: { url: `https://example.com/a${character}b` },
    })
    t.match({ status, body }, { status: 400, body: { errors: [{ path: 'callback.url' }] } })
  }
})

t.test("JSON of a caller's own is not judged", async t => {
  const text = unseen.filter(character => character !== '\0').join('')
  const json = { [text]: text }
  const callback = { queue: 'json', kwargs: json, headers: json }
  t.equal((await s.enqueue('json', { total: 2, metadata: json, callback })).status, 201)
  await s.decrement('json', { batch_index: 0, result: json })
  await s.decrement('json', { batch_index: 1, status: 'failed', error: json })
  t.strictSame((await s.batch('json', 0)).body.result, json)
})

t.test('the document has the same rule as a pattern', async t => {
  const document = (await s.call('GET', '/openapi.json')).body as Document
  const schemas = Object.values(document.paths).flatMap(operations =>
    Object.values(operations).flatMap(({ parameters = [], requestBody }) => [
      ...parameters.map(({ name, schema }) => [name, schema] as const),
      ...Object.values(requestBody?.content ?? {}).flatMap(({ schema }) =>
        [...within(schema)].flatMap(({ properties = {} }) => Object.entries(properties)),
      ),
    ]),
  )
  const patterns = new Map<string, Set<unknown>>()
  for (const [name, schema] of schemas as [string, Schema][]) {
    const found = patterns.get(name) ?? new Set()
    patterns.set(name, found.add(schema['pattern']))
  }
  for (const name of ['execution_id', 'prefix', 'owner', 'reason', 'queue', 'task_name', 'url']) {
    const [pattern, ...others] = patterns.get(name) ?? []
    t.strictSame(others, [], `${name} has one pattern`)
    const rule = new RegExp(String(pattern), 'u')
    for (const text of seen) t.ok(rule.test(text), `${name} may be ${text}`)
    for (const character of unseen) t.notOk(rule.test(`a${character}b`), hexOf(character))
  }
})

function between(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, nth) => first + nth)
}

function hexOf(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(4, '0')
}
