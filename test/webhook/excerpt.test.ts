import * as fc from 'fast-check'
import t from 'tap'
import { unseenIn } from '../../src/unseen.ts'
import { excerptOf } from '../../src/webhook/excerpt.ts'

const bytesOf = (text: string) => Buffer.from(text)

t.test('an excerpt of any bytes can be shown and stored', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_000 }), bytes => {
      const excerpt = excerptOf(bytes)
      return (
        excerpt.isWellFormed() &&
        unseenIn(excerpt) === undefined &&
        Array.from(excerpt).length <= 200
      )
    }),
    { numRuns: 1_000 },
  )
})

t.test('text that can be shown is the same in its excerpt, up to 200 characters', async () => {
  const shown = fc.string({ unit: 'binary' }).filter(text => unseenIn(text) === undefined)
  fc.assert(
    fc.property(
      shown,
      text => excerptOf(bytesOf(text)) === Array.from(text).slice(0, 200).join(''),
    ),
    { numRuns: 1_000 },
  )
})

t.test('what could act on a terminal or on Postgres becomes a space', async t => {
  t.equal(excerptOf(bytesOf('a\0b\x1b[31mred\r\nnext\u202Ee\u200bnd')), 'a b [31mred  next e nd')
  t.equal(excerptOf(Buffer.from([0x61, 0xff, 0xed, 0xa0, 0x80])), 'a\uFFFD\uFFFD\uFFFD\uFFFD')
  t.equal(excerptOf(bytesOf('😀'.repeat(300))), '😀'.repeat(200))
})
