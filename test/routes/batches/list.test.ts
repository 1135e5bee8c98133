import t from 'tap'
import { toCursor } from '../../../src/routes/cursor.ts'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

interface Page {
  data: { batch_index: number; state: string }[]
  next_cursor: string | null
}

/** Every page of a list, to the end; a list that has none is given up. */
async function pagesOf(execution: string, query = ''): Promise<Page[]> {
  const pages: Page[] = []
  for (let cursor: string | null = ''; cursor !== null && pages.length < 100;) {
    const { status, body } = await s.batches(
      execution,
      `?${query}${cursor === '' ? '' : `&cursor=${cursor}`}`,
    )
    if (status !== 200) throw new Error(JSON.stringify(body))
    pages.push(body)
    cursor = body.next_cursor
  }
  return pages
}

const indexesOf = (pages: Page[]) =>
  pages.flatMap(({ data }) => data.map(({ batch_index }) => batch_index))

/** A barrier of `total` batches of which rows exist as `states` says, a state for each index. */
async function fill(execution: string, states: (string | undefined)[]): Promise<void> {
  await s.enqueue(execution, { total: states.length, tolerated_failure_count: states.length })
  for (const [batch_index, state] of states.entries()) {
    if (state === 'claimed' || state === 'released') {
      const { body } = await s.claim(execution, batch_index)
      if (state === 'released') await s.release(execution, batch_index, body.token)
    } else if (state !== undefined) {
      await s.decrement(execution, { batch_index, status: state })
    }
  }
}

/** The list is right, and the position is not. */
const forged = (position: unknown) =>
  Buffer.from(
    JSON.stringify({ list: { route: 'batches', execution_id: 'cursors' }, position }),
  ).toString('base64url')

t.test('batches are listed in index order with their whole bodies', async t => {
  await s.enqueue('whole', { total: 3, tolerated_failure_count: 1 })
  await s.decrement('whole', { batch_index: 2, result: { a: 1 } })
  await s.claim('whole', 0, { lease_seconds: 30, owner: 'w' })
  const { status, body } = await s.batches('whole')
  t.equal(status, 200)
  const [first, last] = body.data
  t.strictSame(body, {
    data: [
      {
        batch_index: 0,
        generation: 1,
        state: 'claimed',
        attempt: 1,
        owner: 'w',
        claimed_at: first.claimed_at,
        lease_expires_at: first.lease_expires_at,
        recorded_at: null,
        result: null,
        error: null,
      },
      {
        batch_index: 2,
        generation: 1,
        state: 'succeeded',
        attempt: 0,
        owner: null,
        claimed_at: null,
        lease_expires_at: null,
        recorded_at: last.recorded_at,
        result: { a: 1 },
        error: null,
      },
    ],
    next_cursor: null,
  })
  t.strictSame(first, (await s.batch('whole', 0)).body, 'as GET of the batch shows it')
})

t.test('pages of any size have no gap and no repeat', async t => {
  const states = Array.from(
    { length: 25 },
    (_, index) => [undefined, 'claimed', 'released', 'succeeded', 'failed'][index % 5],
  )
  await fill('pages', states)
  const indexesIn = (...wanted: (string | undefined)[]) =>
    states.flatMap((state, index) => (wanted.includes(state) ? [index] : []))
  const lists: Record<string, number[]> = {
    '': indexesIn('claimed', 'released', 'succeeded', 'failed'),
    'state=claimed': indexesIn('claimed'),
    'state=succeeded': indexesIn('succeeded'),
    'state=failed': indexesIn('failed'),
    'state=unclaimed': indexesIn(undefined, 'released'),
  }
  for (const [query, expected] of Object.entries(lists)) {
    for (const limit of [1, 2, 3, 5, 10, 24, 1000]) {
      const pages = await pagesOf('pages', `${query}&limit=${limit}`)
      t.strictSame(indexesOf(pages), expected, `${query} limit ${limit}`)
      t.ok(pages.every(({ data }) => data.length <= limit))
    }
  }
  const [unclaimed] = await pagesOf('pages', 'state=unclaimed')
  t.ok(unclaimed?.data.every(({ state }) => state === 'unclaimed'))
})

t.test('a page has 100 members when no limit is given', async t => {
  await s.enqueue('hundred', { total: 150 })
  const pages = await pagesOf('hundred', 'state=unclaimed')
  t.strictSame(
    pages.map(({ data }) => data.length),
    [100, 50],
  )
})

t.test('without a barrier there is no range, so only rows are listed', async t => {
  const { body } = await s.claim('alone', 7)
  await s.claim('alone', 2_147_483_647)
  t.strictSame(indexesOf(await pagesOf('alone', 'limit=1')), [7, 2_147_483_647])
  t.strictSame(indexesOf(await pagesOf('alone', 'state=unclaimed')), [])
  await s.release('alone', 7, body.token)
  t.strictSame(indexesOf(await pagesOf('alone', 'state=unclaimed')), [7])
})

t.test('a page ends at 1 MiB of results, and holds at least one', async t => {
  await s.enqueue('mebibyte', { total: 20 })
  const result = 'x'.repeat(200 * 1024)
  await s.decrements('mebibyte', {
    batches: Array.from({ length: 12 }, (_, batch_index) => ({ batch_index, result })),
  })
  await s.decrement('mebibyte', { batch_index: 12 })
  const pages = await pagesOf('mebibyte')
  t.strictSame(
    pages.map(({ data }) => data.length),
    [5, 5, 3],
  )
  t.strictSame(
    indexesOf(pages),
    Array.from({ length: 13 }, (_, index) => index),
  )
  const large = await service(t, {
    database: s.database,
    settings: { ROLLCALL_RESULT_LIMIT_BYTES: '3000000', ROLLCALL_BODY_LIMIT_BYTES: '4000000' },
  })
  await large.enqueue('larger', { total: 3 })
  for (const batch_index of [0, 1]) {
    await large.decrement('larger', { batch_index, result: 'x'.repeat(2_000_000) })
  }
  t.strictSame(
    (await pagesOf('larger')).map(({ data }) => data.length),
    [1, 1],
  )
})

t.test('a page looks at 10,000 indexes at most', async t => {
  await s.enqueue('window', { total: 35_000 })
  await s.database.query(
    `insert into batches (execution_id, generation, batch_index, state, attempt, recorded_nonce, recorded_at)
     select 'window', 1, index, 'succeeded', 0, 'n', now()
     from generate_series(0, 34999) as index where index not in (12345, 34999)`,
  )
  const unclaimed = await pagesOf('window', 'state=unclaimed')
  t.strictSame(indexesOf(unclaimed), [12_345, 34_999])
  t.strictSame(
    unclaimed.map(({ data }) => data.length),
    [0, 1, 0, 1],
  )
  const claimed = await pagesOf('window', 'state=claimed')
  t.strictSame(indexesOf(claimed), [])
  t.ok(claimed.length >= 4, `${claimed.length} pages`)
  const all = indexesOf(await pagesOf('window', 'limit=1000'))
  t.equal(all.length, 34_998)
  t.equal(new Set(all).size, 34_998)
})

t.test('a list that began goes on, whatever is recorded meanwhile', async t => {
  await fill('moving', ['claimed', undefined, 'claimed', undefined, 'claimed'])
  const first = (await s.batches('moving', '?limit=2')).body
  t.strictSame(indexesOf([first]), [0, 2])
  await s.decrement('moving', { batch_index: 1 })
  await s.decrement('moving', { batch_index: 3 })
  const second = (await s.batches('moving', `?limit=2&cursor=${first.next_cursor}`)).body
  t.strictSame(indexesOf([second]), [3, 4])
})

t.test('a list does not go on into another generation', async t => {
  await fill('replaced', ['claimed', 'claimed', 'claimed'])
  const { next_cursor } = (await s.batches('replaced', '?limit=1')).body
  await s.enqueue('replaced', { total: 3, conflict_policy: 'replace' })
  const { status, body } = await s.batches('replaced', `?limit=1&cursor=${next_cursor}`)
  t.equal(status, 409)
  t.match(body, { code: 'stale_generation', generation: 2 })
})

t.test('an unknown execution or generation is not found', async t => {
  await s.enqueue('generation', { total: 1 })
  t.strictSame((await s.batches('generation', '?generation=1')).body, {
    data: [],
    next_cursor: null,
  })
  for (const [execution, query] of [
    ['nowhere', ''],
    ['nowhere', '?state=unclaimed'],
    ['generation', '?generation=2'],
  ] as const) {
    const { status, body } = await s.batches(execution, query)
    t.equal(status, 404)
    t.match(body, {
      type: 'urn:rollcall:problem:execution_not_found',
      title: 'This execution has no barrier, or none of this generation.',
      status: 404,
      detail: 'This execution has no barrier, or none of this generation.',
      code: 'execution_not_found',
    })
  }
})

t.test('a cursor that this list did not return is refused', async t => {
  await s.enqueue('cursors', { total: 5 })
  const executions = (await s.call('GET', '/executions?limit=1')).body.next_cursor
  const wrong = [
    'garbage',
    '%00',
    '!!!!',
    'null',
    executions,
    forged(null),
    forged([]),
    forged({}),
    forged({ generation: 1 }),
    forged({ generation: 1, after: -1 }),
    forged({ generation: 1, after: 1.5 }),
    forged({ generation: 1, after: '1' }),
    forged({ generation: 1, after: 2_147_483_648 }),
    forged({ generation: 1, after: 1, extra: 1 }),
    'x'.repeat(2000),
  ]
  for (const cursor of wrong) {
    const { status, body } = await s.batches('cursors', `?cursor=${cursor}`)
    t.equal(status, 400, cursor)
    t.match(body, { code: 'invalid_request', errors: [{ path: 'cursor' }] })
  }
})

t.test('a cursor behind every index ends the list and is no failure', async t => {
  await s.enqueue('behind', { total: 5 })
  for (const after of [4, 10_000_000, 2_147_473_648, 2_147_483_647]) {
    for (const state of ['unclaimed', 'claimed']) {
      const list = { route: 'batches', execution_id: 'behind', state }
      const cursor = toCursor(list, { generation: 1, after })
      const { status, body } = await s.batches('behind', `?state=${state}&cursor=${cursor}`)
      t.ok(status === 200 || status === 400, `${state} after ${after}: ${status}`)
      if (status === 200) t.strictSame(body, { data: [], next_cursor: null })
    }
  }
})
