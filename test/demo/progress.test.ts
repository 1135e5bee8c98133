import { Writable } from 'node:stream'
import t from 'tap'
import { line, Progress } from '../../demo/progress.ts'

const counts = {
  batches: 400,
  granted: 210,
  in_progress: 4,
  finished: 200,
  taken_over: 2,
  fenced: 1,
  needless: 0,
  given_back: 0,
}
const told = '200/400 finished, 210 granted, 4 in progress, 2 taken over, 1 fenced'

function screen(terminal: { isTTY?: boolean; columns?: number; hasColors?: () => boolean }) {
  const written: string[] = []
  const output = new Writable({
    write(chunk, _encoding, done) {
      written.push(String(chunk))
      done()
    },
  })
  return { written, output: Object.assign(output, terminal) }
}

t.test(
  'the line fits the terminal; where there is no room for a bar, it is words alone',
  async t => {
    t.equal(line(counts, 120), `[${'#'.repeat(15)}${'.'.repeat(15)}] ${told}`)
    t.equal(line(counts, told.length + 13), `[#####.....] ${told}`)
    t.equal(line(counts, told.length + 12), told)
    t.equal(line(counts, 20), told.slice(0, 20))
    t.equal(line({ ...counts, batches: 0, finished: 0 }, 120).startsWith('[....'), true)
  },
)

t.test('a terminal sees one line, drawn over itself, and events above it', async t => {
  const { written, output } = screen({ isTTY: true, columns: 100, hasColors: () => false })
  const progress = new Progress(output, 0)
  const drawn = line(counts, 99)
  progress.draw(counts, 100)
  progress.note('worker 1 is killed.')
  t.strictSame(written, [`\r${drawn}`, `\r${' '.repeat(drawn.length)}\r`, 'worker 1 is killed.\n'])
})

t.test('a shorter line leaves nothing of the longer one before it', async t => {
  const { written, output } = screen({ isTTY: true, columns: 100 })
  const progress = new Progress(output, 0)
  progress.draw(counts, 100)
  progress.draw({ ...counts, granted: 9 }, 200)
  t.equal(written[1], `\r${line({ ...counts, granted: 9 }, 99)}`.padEnd(written[0]?.length ?? 0))
})

t.test('colours appear only where the terminal has them', async t => {
  const { written, output } = screen({ isTTY: true, columns: 100, hasColors: () => true })
  new Progress(output, 0).draw(counts, 100)
  t.match(written[0], '\u001B[32m')
})

t.test('a pipe gets a plain line every three seconds', async t => {
  const { written, output } = screen({})
  const progress = new Progress(output, 0)
  for (const now of [0, 2_900, 3_000, 3_100, 5_900, 6_100]) progress.draw(counts, now)
  t.strictSame(written, [`3 s: ${told}\n`, `6 s: ${told}\n`])
})

t.test('what is waited for takes the place of the line', async t => {
  const terminal = screen({ isTTY: true, columns: 12 })
  new Progress(terminal.output, 0).wait('waiting for somebody', 100)
  t.strictSame(terminal.written, ['\rwaiting for'])

  const sizeless = screen({ isTTY: true, columns: 0 })
  new Progress(sizeless.output, 0).wait('waiting for somebody', 100)
  t.strictSame(sizeless.written, ['\rwaiting for somebody'])

  const pipe = screen({})
  const progress = new Progress(pipe.output, 0)
  for (const now of [2_900, 3_000, 3_100, 6_100]) progress.wait('waiting', now)
  t.strictSame(pipe.written, ['3 s: waiting\n', '6 s: waiting\n'])
})
