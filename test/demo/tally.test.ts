import t from 'tap'
import type { FromWorker } from '../../demo/channel.ts'
import { Tally } from '../../demo/tally.ts'

function claim(batch_index: number, attempt: number): FromWorker {
  return { type: 'claim', batch_index, claimed: true, settled: false, attempt }
}

function decrement(batch_index: number, outcome: string): FromWorker {
  return { type: 'decrement', batch_index, outcome, settled: true }
}

function countsAfter(...said: FromWorker[]) {
  const tally = new Tally()
  tally.batches = 3
  for (const word of said) tally.hear(word)
  return tally.counts
}

const nothing = {
  batches: 3,
  granted: 0,
  in_progress: 0,
  finished: 0,
  taken_over: 0,
  fenced: 0,
  needless: 0,
  given_back: 0,
}

t.test('a granted batch is in progress until it is recorded', async t => {
  t.strictSame(countsAfter(claim(0, 1), claim(1, 1)), { ...nothing, granted: 2, in_progress: 2 })
  t.strictSame(countsAfter(claim(0, 1), claim(1, 1), decrement(0, 'recorded')), {
    ...nothing,
    granted: 2,
    in_progress: 1,
    finished: 1,
  })
})

t.test(
  'a batch that was taken over is granted twice and finished once, its first worker fenced',
  async t => {
    const said = [claim(0, 1), claim(0, 2), decrement(0, 'recorded'), decrement(0, 'stale_token')]
    t.strictSame(countsAfter(...said), {
      ...nothing,
      granted: 2,
      taken_over: 1,
      finished: 1,
      fenced: 1,
    })
  },
)

t.test('the repeat of a decrement whose reply was lost finishes its batch', async t => {
  const counts = countsAfter(claim(0, 1), decrement(0, 'duplicate'))
  t.strictSame(counts, { ...nothing, granted: 1, finished: 1 })
})

t.test('a delivery without work was either needless or given back', async t => {
  const settled = {
    type: 'claim',
    batch_index: 0,
    claimed: false,
    settled: true,
    attempt: 0,
  } as const
  const counts = countsAfter(
    settled,
    { type: 'acknowledge', delivery: 1 },
    { ...settled, settled: false },
    { type: 'give_back', delivery: 2, after_seconds: 5 },
  )
  t.strictSame(counts, { ...nothing, needless: 1, given_back: 1 })
})
