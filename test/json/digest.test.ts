import t from 'tap'
import { Digest } from '../../src/json/digest.ts'
import { RawJson } from '../../src/json/raw.ts'
import { compareRecorded } from '../../src/routes/batches/same.ts'

function digestOf(text: string, pieceCharacters = text.length): string {
  const digest = new Digest(text)
  while (!digest.advance(pieceCharacters));
  return digest.value
}

const values = [
  ['{}', '[]', '""', '0', 'null', '"{}"', '"[]"', '[{}]', '[[]]', '[{},{}]', '{"":{}}'],
  ['1', '1.0', '10', '"1"', '[1]', '[1,1]', '[11]', '{"1":1}', '-1', '1e1', '[[1],1]', '[[1,1]]'],
  ['"a,b"', '["a","b"]', '["b","a"]', '"a\\"b"', '"a\\\\"', '"\\\\a"', '"}"', '["}","{"]'],
  ['{"a":1}', '{"b":1}', '{"a":2}', '{"a":"1"}', '{"a":[1]}', '{"a":{"a":1}}', '[{"a":1}]'],
  ['{"a":"b\\",\\"c"}', '{"a":{"b":1,"c":2}}', '{"a":{"b":1},"c":2}', '{"a":{"b":2,"c":1}}'],
  ['[{"a":1},{"b":2}]', '[{"a":1,"b":2}]', '[{"b":2},{"a":1}]', '{"a":1,"b":2}', '{"a":2,"b":1}'],
].flat()

t.test('different values have different digests', async t => {
  t.equal(new Set(values.map(text => digestOf(text))).size, values.length)
})

t.test('the order of keys makes no difference, at any depth; that of members does', async t => {
  const one = '{"a":[{"x":"},{","y":[1,2]},{}],"b":{"c":null,"d":"\\\\"},"e":1.50}'
  const other = '{"e":1.50,"b":{"d":"\\\\","c":null},"a":[{"y":[1,2],"x":"},{"},{}]}'
  t.equal(digestOf(one), digestOf(other))
  t.not(digestOf(one), digestOf(other.replace('[1,2]', '[2,1]')))
})

t.test('a digest is the same in whatever pieces its value is read', async t => {
  for (const text of values) t.equal(digestOf(text, 1), digestOf(text), text)
})

t.test('values of any size are compared, and others have their turn meanwhile', async t => {
  const bytes = 16 * 1024 * 1024
  const keys = Array.from({ length: bytes / 16 }, (_, nth) => `"${nth}":[{}]`)
  const large = {
    escapes: [`"${'\\n'.repeat(bytes / 2)}"`, `"${'\\n'.repeat(bytes / 2)}"`],
    arrays: [`[[]${',[]'.repeat(bytes / 3)}]`, `[[]${',[]'.repeat(bytes / 3)}]`],
    objects: [`{${keys.join(',')}}`, `{${keys.toReversed().join(',')}}`],
  }
  for (const [shape, [recorded = '', brought = '']] of Object.entries(large)) {
    let turns = 0
    const count = () => {
      turns += 1
      next = setImmediate(count)
    }
    let next = setImmediate(count)
    const answers: { recorded: RawJson; same?: boolean }[] = [{ recorded: new RawJson(recorded) }]
    try {
      await compareRecorded(answers, [{ result: new RawJson(brought) }])
    } finally {
      clearImmediate(next)
    }
    t.strictSame(answers, [{ same: true }], shape)
    t.ok(turns > 64, `${turns} turns`)
  }
})
