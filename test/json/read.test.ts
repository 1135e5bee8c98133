import * as fc from 'fast-check'
import t from 'tap'
import { PIECE_BYTES, readBody, readInPieces } from '../../src/json/read.ts'
import { encode, RawJson, stringify } from '../../src/json/raw.ts'
import { Scanner } from '../../src/json/scanner.ts'
import { Refusal } from '../../src/refusals.ts'

const limits = new Map([
  ['result', 1_000_000],
  ['metadata', 100],
])
const rules = { depth: 100, raw: limits }
const parse = (text: string) => readBody(Buffer.from(text), rules).body
/** The same, in pieces of so many bytes. */
const parseInPieces = (text: string, count: number) => {
  const scanner = new Scanner(Buffer.from(text), rules)
  while (!scanner.advance(count));
  return scanner.end()
}
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
  .tuple(storable, fc.constantFrom('as it is', 'upper', 'lower'))
  .map(([text, spelling]): [tight: string, loose: string] => {
    const tight = JSON.stringify(text)
    if (spelling === 'as it is') return [tight, tight.replaceAll('/', String.raw`\/`)]
    const escaped = Array.from({ length: text.length }, (_, index) => {
      const digits = text.charCodeAt(index).toString(16).padStart(4, '0')
      return `\\u${spelling === 'upper' ? digits.toUpperCase() : digits}`
    })
    return [tight, `"${escaped.join('')}"`]
  })
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

/** JSON text as it is kept, without white space and with the fewest escapes, and the same with more. */
const json = fc.letrec<{ value: [tight: string, loose: string] }>(tie => ({
  value: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc
      .oneof(number, fc.constantFrom('true', 'false', 'null'))
      .map((text): [string, string] => [text, text]),
    quoted,
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
          selector: ([[name]]) => name,
        }),
        space,
      )
      .map(([members, gap]): [string, string] => [
        `{${members.map(([[name], [tight]]) => `${name}:${tight}`).join(',')}}`,
        `{${gap}${members.map(([[, name], [, loose]]) => `${name}${gap}:${gap}${loose}`).join(`,${gap}`)}${gap}}`,
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

t.test('a body is the same in whatever pieces it is read', async t => {
  fc.assert(
    fc.property(json, fc.integer({ min: 1, max: 9 }), ([, loose], count) => {
      const text = `{ "a":[true,{"b":"c"}], "result" : ${loose} , "d":-1.50e1}`
      t.equal(stringify(parseInPieces(text, count)), stringify(parse(text)))
    }),
    { numRuns: 500 },
  )
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
        storable.filter(name => !limits.has(name)),
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

t.test('a text or key that is no caller’s JSON means the same in every spelling', async t => {
  const named = quoted.filter(([tight]) => tight !== '"result"' && tight !== '"metadata"')
  fc.assert(
    // Short bodies and longer ones are read in two ways.
    fc.property(named, quoted, fc.constantFrom(0, 5_000), ([, key], [, text], blanks) => {
      const body = `{${key}:${text}}`
      t.strictSame(parse(body + ' '.repeat(blanks)), JSON.parse(body), body)
    }),
    { numRuns: 200 },
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
      message: 'metadata has more bytes of JSON than the 100 that are taken.',
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

t.test('a string is kept with the fewest escapes, and so is a key', async t => {
  const spellings: [sent: string, kept: string][] = [
    [String.raw`"\u00e9"`, '"é"'],
    [String.raw`{"a\/b":"\/\u002F"}`, '{"a/b":"//"}'],
    [
      String.raw`["\ud83d\uDE00","\u0022\u005c\u000A\u001F\u007f"]`,
      String.raw`["😀","\"\\\n\u001f${'\x7f'}"]`,
    ],
    [String.raw`"\b\f\n\r\t\"\\"`, String.raw`"\b\f\n\r\t\"\\"`],
  ]
  for (const [sent, kept] of spellings) t.equal(textOf(parse(`{"result":${sent}}`)['result']), kept)
})

t.test('callers’ JSON of a large body is written as its bytes', async t => {
  const body = parse(
    `{"batches":[{"result":"é"},{"result":[ 1.0 ]}],"fill":"${'x'.repeat(16_000)}","more":"${'x'.repeat(1_000)}","metadata":[" ${'x'.repeat(90)}"]}`,
  )
  const written = encode({ ...body, fill: 0, more: 0 })
  t.ok(Buffer.isBuffer(written))
  t.equal(
    written.toString(),
    `{"batches":[{"result":"é"},{"result":[1.0]}],"fill":0,"more":0,"metadata":[" ${'x'.repeat(90)}"]}`,
  )
})

t.test('a key twice is found among any number of keys, also of such that are numbers', async t => {
  for (const keys of [2, 8, 9, 10, 5_000]) {
    const names = Array.from({ length: keys }, (_, index) => `"${index * 4_096}":0`)
    t.ok(parse(`{"result":{${names.join(',')}}}`)['result'])
    t.match(
      refusalOf(() => parse(`{"result":{${names.join(',')},"4096":1}}`)),
      { code: 'invalid_request', members: { errors: [{ path: 'result.4096' }] } },
    )
  }
})

t.test(
  'outside of callers’ JSON what a body may have is bounded before objects are made',
  async t => {
    const wrong: [text: string, path: string, message: RegExp][] = [
      [`{"batches":[${'{},'.repeat(1_000)}{}]}`, 'batches', /at most 1000 members/],
      [`{"a":{"b":[${'0,'.repeat(1_000)}0]}}`, 'a.b', /at most 1000 members/],
      [
        `{"a":[${'[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],'.repeat(999)}0]}`,
        '',
        /more than 20000/,
      ],
      [`{"owner":"${'x'.repeat(20_000)}"}`, 'owner', /at most 16384 bytes/],
      [`{"a":[1,${'9'.repeat(20_000)}]}`, 'a.1', /at most 16384 bytes/],
    ]
    for (const [text, path, message] of wrong) {
      t.match(
        refusalOf(() => parse(text)),
        { code: 'invalid_request', members: { errors: [{ path, message }] } },
      )
    }
    t.ok(parse(`{"a":[${'0,'.repeat(999)}0],"result":[${'0,'.repeat(100_000)}0]}`))
  },
)

/** Bodies near the limit of a bulk body, each made of one thing without end. */
const monotonous = fc
  .tuple(
    fc.constantFrom(
      ['{"batch_indexes":[1]', ' ', '}'],
      ['{"result":', '[', ''],
      ['{"batches":[', '{},', '{}]}'],
      ['{"batches":[{"result":[', '{},', '0]}]}'],
      ['{"batches":[{"result":[', '{"a":1,"b":[2]},', '0]}]}'],
      ['{"batches":[{"result":[', '0.12345678,', '0]}]}'],
      ['{"batches":[{"result":[', '[],', '0]}]}'],
      ['{"batches":[{"result":["', String.raw`\u00e9`, '"]}]}'],
      ['{"batches":[{"result":["', 'é', '"]}]}'],
      ['{"batches":[{"result":[', '"",', '0]}]}'],
      ['{"batches":[{"owner":"', 'x', '"}]}'],
      ['{"owner":', '9', '}'],
      ['{"batches":[', '0,', ']'],
      ['{"a":1', '\n\t', 'x'],
    ),
    fc.integer({ min: 1, max: 4 }),
  )
  .map(([[begin, piece, end], MiB]) =>
    Buffer.from(`${begin}${piece.repeat((MiB * 1024 * 1024) / Buffer.byteLength(piece))}${end}`),
  )

t.test('no body is read in one piece: others have their turn every 256 KiB', async t => {
  const generous = { depth: 100, raw: new Map([['result', 64 * 1024 * 1024]]) }
  let [bytes, milliseconds, longest] = [0, 0, 0]
  await fc.assert(
    fc.asyncProperty(monotonous, async body => {
      let read = 0
      let began = performance.now()
      const turn = async () => {
        read += 1
        longest = Math.max(longest, performance.now() - began)
        milliseconds += performance.now() - began
        began = performance.now()
      }
      const size = body.length
      const isOver = await readInPieces(body, generous, turn).then(
        () => true,
        (error: unknown) => {
          if (error instanceof Refusal) return false
          throw error
        },
      )
      bytes += read * PIECE_BYTES
      const isOneString = body.includes('["')
      if (isOver && !isOneString) t.ok(read >= Math.ceil(size / PIECE_BYTES) - 2)
    }),
    { numRuns: 30 },
  )
  t.comment(
    `${longest.toFixed(0)} ms at most, ${((milliseconds / bytes) * 1e6).toFixed(1)} ns a byte`,
  )
})

t.test('a number of the service is read as what its digits mean, or refused', async t => {
  const exact: [digits: string, value: number][] = [
    ['1.0', 1],
    ['1e2', 100],
    ['10E-1', 1],
    ['0.10', 0.1],
    ['-0', -0],
    ['0e99999', 0],
    ['9007199254740992', 2 ** 53],
    ['100000000000000000000', 1e20],
    [`1${'0'.repeat(300)}e-300`, 1],
    [`0.${'0'.repeat(400)}1e401`, 1],
    ['1.7976931348623157e308', Number.MAX_VALUE],
  ]
  for (const [digits, value] of exact) {
    t.strictSame(parse(`{"index":${digits}}`), { index: value }, digits)
  }
  const inexact = [
    '1e-400',
    '-1e-400',
    '0.99999999999999999999',
    '1.00000000000000000001',
    '-0.00000000000000000000000001e-400',
    '9007199254740993',
    '12345678901234567890',
    '1e400',
    `1e${'9'.repeat(400)}`,
  ]
  for (const digits of inexact) {
    for (const text of [`{"a":[0,{"b":${digits}}]}`, ` {"a":[0 ,{"b": ${digits}}],"c":"é"}`]) {
      t.match(refusalOf(() => parse(text)).problem, {
        code: 'invalid_request',
        errors: [{ path: 'a.1.b', message: `got ${digits.slice(0, 90)}` }],
      })
    }
    t.equal(textOf(parse(`{"result":${digits}}`)['result']), digits, 'callers keep their own')
  }
  const begun = performance.now()
  const long = `1.${'0'.repeat(8_000)}1${'0'.repeat(8_000)}1`
  t.throws(() => parse(`{"a":${long}}`))
  t.ok(performance.now() - begun < 100, 'also a long one takes no time')
})
