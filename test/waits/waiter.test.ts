import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { Waiter } from '../../src/waits/waiter.ts'

const source = join(import.meta.dirname, '..', '..', 'src', 'waits', 'waiter.js')

t.test('a wait leaves nothing behind at the signal that outlives it', async t => {
  const script = `
    import { Waiter } from '${source}'
    const { signal } = new AbortController()
    const waits = async count => {
      for (let nth = 0; nth < count; nth += 10)
        await Promise.all(Array.from({ length: 10 }, () => new Waiter(signal).woken(performance.now())))
      gc()
      return process.memoryUsage().heapUsed
    }
    const before = await waits(1_000)
    console.log(await waits(20_000) - before)`
  const node = [process.execPath, '--expose-gc', '--input-type=module', '--eval', script]
  // tap would load itself into a child of this process, and here leaves no trace of it.
  const { stdout } = await promisify(execFile)('env', ['-i', ...node])
  t.ok(Number(stdout) < 400_000, `${stdout.trim()} bytes of 20,000 waits are left`)
})

t.test('a clock that is set back moves no deadline', async t => {
  const real = Date.now
  t.teardown(() => (Date.now = real))
  const waiter = new Waiter(new AbortController().signal)
  const begun = performance.now()
  const woken = waiter.woken(begun + 50)
  Date.now = () => real() - 3_600_000
  t.equal(await woken, false)
  waiter.wake()
  t.equal(await waiter.woken(performance.now() - 1), false, 'woken too late')
  t.ok(waiter.isWoken, 'which it passes on')
  t.equal(await waiter.woken(performance.now() + 10_000), true)
  t.equal(waiter.isWoken, false)
})
