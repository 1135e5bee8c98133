import { createHash } from 'node:crypto'
import { symlinkSync } from 'node:fs'
import t from 'tap'
import { combine, inBatches, listFiles, sumDirectly, sumFiles } from '../../demo/checksum.ts'

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

t.test(
  'regular files are listed in one order, symbolic links and the own data are not',
  async t => {
    const folder = t.testdir({
      b: '1',
      a: { z: '2', Z: '3' },
      'a.txt': '4',
      link: t.fixture('symlink', 'b'),
      linked: t.fixture('symlink', 'a'),
      '.rollcall': { data: '5' },
    })
    symlinkSync('nowhere', `${folder}/broken`)
    t.strictSame(await listFiles(folder), ['a.txt', 'a/Z', 'a/z', 'b'])
  },
)

t.test(
  'batches hold 50 files, the last one what is left, and no file is in none or two',
  async t => {
    const files = Array.from({ length: 120 }, (_, index) => `file ${index}`)
    const batches = inBatches(files)
    t.strictSame(
      batches.map(({ length }) => length),
      [50, 50, 20],
    )
    t.strictSame(batches.flat(), files)
    t.strictSame(inBatches(files.slice(0, 100)).length, 2)
    t.strictSame(inBatches([]), [])
  },
)

t.test('the digest of a batch is that of the lines which sha256sum prints', async t => {
  const folder = t.testdir({ one: 'first', sub: { two: 'second' } })
  t.strictSame(combine(await sumFiles(folder, ['one', 'sub/two'])), {
    files: 2,
    unreadable: 0,
    bytes: 11,
    sha256: sha256(`${sha256('first')}  one\n${sha256('second')}  sub/two\n`),
  })
})

t.test('a file that cannot be read is counted, and gives the same digest each time', async t => {
  const folder = t.testdir({ one: 'first' })
  const sums = combine(await sumFiles(folder, ['gone', 'one']))
  t.strictSame(sums, {
    files: 2,
    unreadable: 1,
    bytes: 5,
    sha256: sha256(`ENOENT  gone\n${sha256('first')}  one\n`),
  })
  t.strictSame(combine(await sumFiles(folder, ['gone', 'one'])), sums)
})

t.test('the halves of a batch, summed one after the other, give what the whole gives', async t => {
  t.plan(1)
  const folder = t.testdir({ a: '1', b: '2', c: '3' })
  const halves = [...(await sumFiles(folder, ['a', 'b'])), ...(await sumFiles(folder, ['c']))]
  for await (const whole of sumDirectly(folder)) t.strictSame(combine(halves), whole)
})
