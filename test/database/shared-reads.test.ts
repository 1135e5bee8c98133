import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { SharedReads } from '../../src/database/shared-reads.ts'

/** Reads that go on when they are told to, and a clock that is moved by hand. */
function stage(t: Test) {
  let now = performance.now()
  mock.method(performance, 'now', () => now)
  t.teardown(() => mock.restoreAll())
  const shared = new SharedReads<string>(60_000)
  const running: { key: string; end: (answer: string) => void; fail: (error: Error) => void }[] = []
  const begun: string[] = []
  return {
    running,
    begun,
    pass: (ms: number) => (now += ms),
    read: (key: string) =>
      shared.read(key, () => {
        begun.push(key)
        return new Promise<string>((end, fail) => running.push({ key, end, fail }))
      }),
  }
}

t.test(
  'callers of one key share a read, while it runs and for a second from its begin',
  async t => {
    const { begun, running, pass, read } = stage(t)
    const first = [read('a'), read('a')]
    pass(600)
    first.push(read('a'))
    running[0]?.end('one')
    t.strictSame(await Promise.all(first), ['one', 'one', 'one'])
    pass(399)
    t.equal(await read('a'), 'one')
    t.strictSame(begun, ['a'])
    pass(1)
    const second = read('a')
    await setImmediate()
    running[1]?.end('two')
    t.equal(await second, 'two')
    t.strictSame(begun, ['a', 'a'])
  },
)

t.test('nobody joins a read that runs for more than a second', async t => {
  const { begun, running, pass, read } = stage(t)
  const slow = read('a')
  pass(1000)
  const late = [read('a'), read('a')]
  running[0]?.end('old')
  t.equal(await slow, 'old')
  await setImmediate()
  running[1]?.end('new')
  t.strictSame(await Promise.all(late), ['new', 'new'])
  t.strictSame(begun, ['a', 'a'])
})

t.test('two reads run at once, the next wait, and a wait makes no answer old', async t => {
  const { begun, running, pass, read } = stage(t)
  const reads = ['a', 'b', 'c'].map(key => read(key))
  await setImmediate()
  t.strictSame(begun, ['a', 'b'])
  pass(5000)
  reads.push(read('c'))
  running[0]?.end('a')
  await setImmediate()
  t.strictSame(begun, ['a', 'b', 'c'])
  running[1]?.end('b')
  running[2]?.end('c')
  t.strictSame(await Promise.all(reads), ['a', 'b', 'c', 'c'])
})

t.test('a failure is told to those who asked meanwhile, and is not kept', async t => {
  const { running, read } = stage(t)
  const both = Promise.allSettled([read('a'), read('a')])
  running[0]?.fail(new Error('No.'))
  t.match(await both, [{ reason: { message: 'No.' } }, { reason: { message: 'No.' } }])
  const next = read('a')
  await setImmediate()
  running[1]?.end('yes')
  t.equal(await next, 'yes')
})

t.test('20 answers are kept at most', async t => {
  const { begun, running, read } = stage(t)
  for (let nth = 0; nth < 25; nth += 1) {
    const answer = read(String(nth))
    await setImmediate()
    running[nth]?.end('answer')
    await answer
  }
  for (let nth = 24; nth >= 5; nth -= 1) t.equal(await read(String(nth)), 'answer')
  t.equal(begun.length, 25, 'the newest 20 were there')
  void read('4')
  await setImmediate()
  t.equal(begun.length, 26)
  running[25]?.end('answer')
})
