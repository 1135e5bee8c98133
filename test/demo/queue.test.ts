import t from 'tap'
import { Queue, seededRandom } from '../../demo/queue.ts'

const VISIBILITY_MS = 6_000

function queueOf(messages: string[], seed = 1): Queue<string> {
  const queue = new Queue<string>({ random: seededRandom(seed), visibilityMs: VISIBILITY_MS })
  for (const message of messages) queue.publish(message)
  return queue
}

/** Everything that is visible now, in the order it is delivered. */
function* receiveAll(queue: Queue<string>, now = 0) {
  for (;;) {
    const delivery = queue.receive('somebody', now)
    if (delivery === undefined) return
    yield delivery
  }
}

const letters = 'abcdefghij'.split('')

t.test('every message is delivered twice', async t => {
  const queue = queueOf(letters)
  const delivered = [...receiveAll(queue)].map(({ message }) => message)
  t.strictSame(delivered.toSorted(), [...letters, ...letters].toSorted())
  t.equal(queue.deliveries, 20)
})

t.test('the order is that of the seed, and not that of publishing', async t => {
  const [first, again, other] = [1, 1, 2].map(seed =>
    [...receiveAll(queueOf(letters, seed))].map(({ message }) => message),
  )
  t.strictSame(first, again)
  t.strictNotSame(first, other)
  t.strictNotSame(
    first,
    letters.flatMap(letter => [letter, letter]),
  )
})

t.test('the numbers of a seed are spread evenly from 0 to below 1', async t => {
  const random = seededRandom(7)
  const tenths = Array.from({ length: 10 }, () => 0)
  for (let draw = 0; draw < 10_000; draw += 1) {
    const tenth = Math.floor(random() * 10)
    tenths[tenth] = (tenths[tenth] ?? Number.NaN) + 1
  }
  t.equal(tenths.length, 10)
  t.ok(tenths.every(count => count > 850 && count < 1_150))
})

t.test('what is acknowledged does not come again', async t => {
  const queue = queueOf(['a'])
  for (const { delivery } of receiveAll(queue)) queue.acknowledge(delivery)
  t.equal(queue.size, 0)
  t.strictSame([...receiveAll(queue, VISIBILITY_MS * 10)], [])
})

t.test('what is given back comes again, and not before its time', async t => {
  const queue = queueOf(['a'])
  for (const { delivery } of receiveAll(queue)) queue.giveBack(delivery, 1_000)
  t.equal(queue.size, 2)
  t.strictSame([...receiveAll(queue, 999)], [])
  t.strictSame(
    [...receiveAll(queue, 1_000)],
    [
      { delivery: 3, message: 'a' },
      { delivery: 4, message: 'a' },
    ],
  )
})

t.test('what nobody acknowledged within the visibility timeout comes again', async t => {
  const queue = queueOf(['a'])
  t.equal([...receiveAll(queue)].length, 2)
  t.strictSame([...receiveAll(queue, VISIBILITY_MS - 1)], [])
  t.equal([...receiveAll(queue, VISIBILITY_MS)].length, 2)
})

t.test('a late word about a delivery that was taken back changes nothing', async t => {
  const queue = queueOf(['a'])
  const [first, second] = [...receiveAll(queue)]
  t.equal([...receiveAll(queue, VISIBILITY_MS)].length, 2)
  queue.acknowledge(first?.delivery ?? 0)
  queue.giveBack(second?.delivery ?? 0, 0)
  t.equal(queue.size, 2)
  t.strictSame([...receiveAll(queue, VISIBILITY_MS)], [])
})

t.test('what a dead consumer held comes again at once, and only that', async t => {
  const queue = queueOf(['a'])
  t.strictSame(queue.receive('dying', 0), { delivery: 1, message: 'a' })
  t.strictSame(queue.receive('living', 0), { delivery: 2, message: 'a' })
  queue.consumerDied('dying')
  t.strictSame(queue.receive('living', 0), { delivery: 3, message: 'a' })
  t.equal(queue.receive('living', 0), undefined)
})
