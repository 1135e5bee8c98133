import { mock } from 'node:test'
import t from 'tap'
import { Slots } from '../../src/database/slots.ts'

/** Holds a slot until `leave` is called. */
function holder(slots: Slots, key: string, options?: { patient: boolean }) {
  let leave: (() => void) | undefined
  let isIn = false
  const done = slots.run(
    key,
    () => {
      isIn = true
      return new Promise<void>(resolve => (leave = resolve))
    },
    options,
  )
  return { done, isIn: () => isIn, leave: () => leave?.() }
}

const turn = () => new Promise(resolve => setImmediate(resolve))
const overloaded = { code: 'overloaded', problem: { effect: 'none' } }

t.test('those of one key take one slot, in the order they came', async t => {
  const slots = new Slots(2, 60_000)
  const [a, second, third] = [holder(slots, 'a'), holder(slots, 'a'), holder(slots, 'a')]
  const b = holder(slots, 'b')
  const all = () => [a, second, third, b].map(each => each.isIn())
  t.strictSame(all(), [true, false, false, true])
  a.leave()
  await turn()
  t.strictSame(all(), [true, true, false, true])
  for (const each of [second, b]) each.leave()
  await turn()
  third.leave()
  await Promise.all([a, second, third, b].map(({ done }) => done))
})

t.test('who fails gives his slot back', async t => {
  const slots = new Slots(1, 60_000)
  await t.rejects(
    slots.run('a', () => Promise.reject(new Error('No.'))),
    { message: 'No.' },
  )
  t.equal(await slots.run('a', async () => 'in'), 'in')
})

t.test('behind holders who leave everybody waits, however long the line', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const slots = new Slots(1, 50)
  const line = Array.from({ length: 10 }, (_, nth) => holder(slots, String(nth)))
  for (const each of line) {
    // Long, and not yet for ever; the last one has waited for 360 by then.
    mock.timers.tick(40)
    each.leave()
    await turn()
  }
  t.equal((await Promise.all(line.map(({ done }) => done))).length, 10)
})

t.test('behind who hangs nobody of his key waits, and strangers do not feel it', async t => {
  const slots = new Slots(2, 50)
  const hung = holder(slots, 'a')
  const behind = holder(slots, 'a')
  await t.rejects(behind.done, overloaded)
  await t.rejects(holder(slots, 'a').done, overloaded, 'nor does who comes later')
  t.equal(await slots.run('b', async () => 'in'), 'in')
  hung.leave()
  await hung.done
  t.equal(await slots.run('a', async () => 'in'), 'in')
})

t.test('when all hang nobody waits but who is patient', async t => {
  const slots = new Slots(2, 50)
  const [a, b] = [holder(slots, 'a'), holder(slots, 'b')]
  const patient = holder(slots, 'c', { patient: true })
  await t.rejects(holder(slots, 'd').done, overloaded)
  t.equal(patient.isIn(), false)
  a.leave()
  await turn()
  t.equal(patient.isIn(), true)
  for (const each of [b, patient]) each.leave()
  await Promise.all([a, b, patient].map(({ done }) => done))
})
