import * as fc from 'fast-check'
import t from 'tap'
import { parseBody, RawJson, stringify } from '../src/json.ts'
import { Refusal } from '../src/refusals.ts'

const limits = { result: 1_000_000, metadata: 100 }
const parse = (text: string) => parseBody(text, 100, limits) as Record<string, unknown>
const textOf = (value: unknown) => (value instanceof RawJson ? value.text : undefined)

const nested = (depth: number) => `{"result":${'['.repeat(depth)}${']'.repeat(depth)}}`

/** The refusal that `work` ends in. */
function refusalOf(work: () => unknown): Refusal {
  try {
    work()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('It was not refused.')
}

// Strings that Postgres can store, in any of the ways JSON can write them.
const storable = fc
  .string({ unit: 'grapheme' })
  .filter(text => text.isWellFormed() && !text.includes('\0') && text !== '__proto__')
const quoted = fc
  .tuple(storable, fc.boolean())
  .map(([text, escapes]) =>
    escapes
      ? `"${Array.from({ length: text.length }, (_, index) => `\\u${text.charCodeAt(index).toString(16).padStart(4, '0')}`).join('')}"`
      : JSON.stringify(text),
  )
/** Numbers as text: what a double cannot hold is what this is about. */
const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(fc.constant('0'), fc.stringMatching(/^[1-9]\d{0,40}$/)),
    fc.oneof(fc.constant(''), fc.stringMatching(/^\.\d{1,40}$/)),
    fc.oneof(fc.constant(''), fc.stringMatching(/^[eE][+-]?\d{1,4}$/)),
  )
  .map(parts => parts.join(''))
const space = fc.constantFrom('', ' ', '\n', '\t', '\r\n  ')

/** JSON text without white space, and the same with some. */
const json = fc.letrec<{ value: [tight: string, loose: string] }>(tie => ({
  value: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc
      .oneof(number, quoted, fc.constantFrom('true', 'false', 'null'))
      .map((text): [string, string] => [text, text]),
    fc
      .tuple(fc.array(tie('value'), { maxLength: 4 }), space)
      .map(([members, gap]): [string, string] => [
        `[${members.map(([tight]) => tight).join(',')}]`,
        `[${gap}${members.map(([, loose]) => loose).join(`${gap},${gap}`)}${gap}]`,
      ]),
    fc
      .tuple(
        fc.uniqueArray(fc.tuple(quoted, tie('value')), {
          maxLength: 4,
          selector: ([name]) => JSON.parse(name) as string,
        }),
        space,
      )
      .map(([members, gap]): [string, string] => [
        `{${members.map(([name, [tight]]) => `${name}:${tight}`).join(',')}}`,
        `{${gap}${members.map(([name, [, loose]]) => `${name}${gap}:${gap}${loose}`).join(`,${gap}`)}${gap}}`,
      ]),
  ),
})).value

t.test('every JSON value of a caller is kept digit by digit', async t => {
  fc.assert(
    fc.property(json, space, ([tight, loose], gap) => {
      const { result } = parse(`{${gap}"a":1,${gap}"result"${gap}:${gap}${loose}${gap}}`)
      return textOf(result) === (tight === 'null' ? undefined : tight)
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})

t.test('what is read and written again is the same text', async t => {
  fc.assert(
    fc.property(json, json, ([one], [another]) => {
      const body = parse(`{"batches":[{"result":${one}},{"result":[${another}]}]}`)
      const first = one === 'null' ? '{}' : `{"result":${one}}`
      return stringify(body) === `{"batches":[${first},{"result":[${another}]}]}`
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})

t.test('the rest of a body is what JSON.parse makes of it', async t => {
  fc.assert(
    fc.property(
      fc.dictionary(
        storable.filter(name => !Object.hasOwn(limits, name)),
        fc.jsonValue(),
      ),
      body => {
        const text = JSON.stringify(body)
        // A raw member may be anywhere; such bodies are the other tests' subject.
        if (/"(result|metadata|__proto__)"/.test(text)) return true
        t.strictSame(parse(text), JSON.parse(text))
        return true
      },
    ),
    { numRuns: 300 },
  )
})

t.test('no text makes it fail otherwise than by a refusal', async () => {
  const pieces = fc.array(
    fc.oneof(
      fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', '"result"', '"a"', 'null', '1', '-'),
      fc.constantFrom('\\u0000', '\\ud800', '\0', '\ufeff', '//', '/*', '__proto__', ' '),
      fc.string(),
    ),
    { maxLength: 12 },
  )
  fc.assert(
    fc.property(pieces, texts => {
      try {
        parse(texts.join(''))
      } catch (error) {
        if (!(error instanceof Refusal) || error.status >= 500) throw error
      }
    }),
    { numRuns: 3_000 },
  )
  fc.assert(
    fc.property(json, fc.nat(), fc.string({ maxLength: 2 }), ([, loose], at, noise) => {
      const text = `{"result":${loose}}`
      const cut = at % text.length
      try {
        parse(text.slice(0, cut) + noise + text.slice(cut))
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
      }
    }),
    { numRuns: 1_000 },
  )
})

t.test('null is absent', async t => {
  t.strictSame(parse('{"result":null,"a":null}'), { a: null })
  t.strictSame(parse('{"batches":[{"result":null}]}'), { batches: [{}] })
  t.equal(textOf(parse('{"result":[null]}')['result']), '[null]')
})

t.test('a member is the caller’s wherever it is, and inside it nothing is', async t => {
  const body = parse('{"callback":{"metadata":{"metadata":1,"result":null}},"x":[{"result":0.10}]}')
  t.equal(
    stringify(body),
    '{"callback":{"metadata":{"metadata":1,"result":null}},"x":[{"result":0.10}]}',
  )
})

t.test('text that looks like the mark of a caller’s JSON stays as it is', async t => {
  const value = { a: new RawJson('1.0'), b: '\\u00000', c: '"\\u00000"', d: ['\\u00001'] }
  t.equal(
    stringify(value),
    String.raw`{"a":1.0,"b":"\\u00000","c":"\"\\u00000\"","d":["\\u00001"]}`,
  )
  t.equal(
    stringify({ a: new RawJson(String.raw`"$& $1 \\u00000"`) }),
    String.raw`{"a":"$& $1 \\u00000"}`,
  )
})

t.test('two writes do not mix their texts', async t => {
  t.equal(stringify([new RawJson('1'), new RawJson('2')]), '[1,2]')
  t.equal(stringify({ b: new RawJson('3') }), '{"b":3}')
  t.equal(stringify({ plain: true }), '{"plain":true}')
})

t.test('a limit counts bytes without white space', async t => {
  const fits = `"${'é'.repeat(49)}"`
  t.equal(textOf(parse(`{"metadata":   ${fits}   }`)['metadata']), fits)
  t.match(
    refusalOf(() => parse(`{"metadata":"x${'é'.repeat(49)}"}`)),
    {
      code: 'payload_too_large',
      message: 'metadata has 101 bytes of JSON; at most 100 are taken.',
    },
  )
})

t.test('depth is counted through a caller’s JSON', async t => {
  t.equal(textOf(parse(nested(99))['result'])?.length, 198)
  t.match(
    refusalOf(() => parse(nested(100))),
    { code: 'invalid_request' },
  )
})
