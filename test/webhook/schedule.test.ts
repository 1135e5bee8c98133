import * as fc from 'fast-check'
import t from 'tap'
import { retryAfterSeconds, waitSeconds } from '../../src/webhook/schedule.ts'

const HOUR = 3600
const never = () => 0
const most = () => 1 - Number.EPSILON

const attempt = fc.integer({ min: 1, max: 8 })
const asked = fc.oneof(fc.nat(), fc.double({ min: 0, noNaN: true }))
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

t.test('nine attempts, over 18 hours', async t => {
  const waits = Array.from({ length: 9 }, (_, index) => waitSeconds(index + 1, 0, never))
  t.strictSame(waits, [5, 30, 120, 600, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, undefined])
})

t.test('a receiver is never asked sooner than it wished, within ten hours', async t => {
  fc.assert(
    fc.property(attempt, asked, chance, (number, seconds, random) => {
      const wait = waitSeconds(number, seconds, () => random) ?? 0
      return wait >= Math.min(seconds, 10 * HOUR) && wait >= (waitSeconds(number, 0, never) ?? 0)
    }),
    { numRuns: 5_000 },
  )
  t.equal(waitSeconds(1, 60, never), 60)
  t.equal(waitSeconds(4, 60, never), 600)
  t.equal(waitSeconds(1, 1e9, never), 10 * HOUR)
  t.equal(waitSeconds(9, 60, never), undefined)
})

t.test('chance adds at most a quarter', async t => {
  fc.assert(
    fc.property(attempt, asked, chance, (number, seconds, random) => {
      const [least = 0, wait = 0] = [never, () => random].map(by =>
        waitSeconds(number, seconds, by),
      )
      return wait >= least && wait <= least * 1.25
    }),
    { numRuns: 5_000 },
  )
  t.ok((waitSeconds(1, 0, most) ?? 0) > 6.24)
  t.not(waitSeconds(8), waitSeconds(8))
})

t.test('Retry-After is seconds or a date', async t => {
  const now = Date.parse('2026-11-23T09:30:00.500Z')
  const of = (header: string) => retryAfterSeconds(header, now)
  t.equal(of('120'), 120)
  t.equal(of('0'), 0)
  t.equal(of('Mon, 23 Nov 2026 09:31:00 GMT'), 60)
  t.equal(of('Mon, 23 Nov 2026 09:00:00 GMT'), 0)
  t.equal(of('Monday, 23-Nov-26 09:31:00 GMT'), 60)
  t.equal(of('9999999999'), 36_000, 'ten hours at most')
  for (const header of ['', '-1', '1.5', '1e9', 'soon', '2026-11-23', 'Mon, never']) {
    t.equal(of(header), undefined, header)
  }
})
