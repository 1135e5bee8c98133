import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

interface Page {
  data: { execution_id: string; state: string }[]
  next_cursor: string | null
}

/** Every page of a list, to the end; a list that has none is given up. */
async function pagesOf(query: string): Promise<Page[]> {
  const pages: Page[] = []
  for (let cursor: string | null = ''; cursor !== null && pages.length < 500;) {
    const { status, body } = await s.call(
      'GET',
      `/executions?${query}${cursor === '' ? '' : `&cursor=${cursor}`}`,
    )
    if (status !== 200) throw new Error(JSON.stringify(body))
    pages.push(body)
    cursor = body.next_cursor
  }
  return pages
}

const idsOf = (pages: Page[]) =>
  pages.flatMap(({ data }) => data.map(({ execution_id }) => execution_id))

/** Barriers by SQL, so that their moment of birth can be chosen. */
const insert = (ids: string, created: string, state = `'open'`) =>
  s.database.query(
    `insert into barriers (execution_id, total, fingerprint, enqueue_nonce, expires_at, created_at, state, reason, closed_at, closing_nonce)
     select id, 5, 'f', 'n', now() + interval '1 day', ${created}, state,
       case when state = 'open' then null else 'r' end,
       case when state = 'open' then null else now() end,
       case when state = 'open' then null else 'n' end
     from (select id, number, ${state} as state from (${ids}) as named (id, number)) as made`,
  )

const idOf = (number: number) => `tie-${String(number).padStart(2, '0')}`

/** The list is right, and the position is not. */
const forged = (position: unknown) =>
  Buffer.from(JSON.stringify({ list: { route: 'executions' }, position })).toString('base64url')

t.test('executions are listed newest first, with their whole bodies', async t => {
  t.strictSame((await s.call('GET', '/executions')).body, { data: [], next_cursor: null })
  await s.enqueue('whole-1', { total: 2, callback: { queue: 'q' }, metadata: 'not here' })
  await s.enqueue('whole-2', { total: 1 })
  await s.abort('whole-2', { reason: 'enough' })
  const { status, body } = await s.call('GET', '/executions')
  t.equal(status, 200)
  const [newest, oldest] = body.data
  const { metadata: _, ...first } = (await s.barrier('whole-1')).body
  const { metadata: __, ...second } = (await s.barrier('whole-2')).body
  t.strictSame(body, { data: [second, first], next_cursor: null })
  t.match(newest, { state: 'aborted', reason: 'enough' })
  t.match(oldest, { state: 'open', reason: null, closed_at: null })
  await s.database.query('delete from barriers')
})

t.test('pages of any size have no gap and no repeat, through ties of a microsecond', async t => {
  // 40 barriers in groups of 7 that share a microsecond; the groups are one microsecond apart.
  await insert(
    `select 'tie-' || lpad(number::text, 2, '0'), number from generate_series(0, 39) as number`,
    `'2026-01-01T00:00:00.999997Z'::timestamptz + (number / 7) * interval '1 microsecond'`,
    `(array['open', 'aborted', 'expired'])[1 + number % 3]`,
  )
  const all = Array.from({ length: 40 }, (_, number) => number)
  const newestFirst = all
    .toSorted((a, b) => Math.floor(b / 7) - Math.floor(a / 7) || b - a)
    .map(idOf)
  for (const limit of [1, 2, 3, 7, 8, 39, 40, 1000]) {
    t.strictSame(idsOf(await pagesOf(`limit=${limit}`)), newestFirst, `limit ${limit}`)
    t.strictSame(
      idsOf(await pagesOf(`limit=${limit}&prefix=tie-`)),
      all.map(idOf),
      `prefix ${limit}`,
    )
    for (const [position, state] of ['open', 'aborted', 'expired'].entries()) {
      const has = (id: string) => Number(id.slice(4)) % 3 === position
      t.strictSame(
        idsOf(await pagesOf(`limit=${limit}&state=${state}`)),
        newestFirst.filter(has),
        `${state} limit ${limit}`,
      )
      t.strictSame(
        idsOf(await pagesOf(`limit=${limit}&state=${state}&prefix=tie-`)),
        all.map(idOf).filter(has),
        `${state} prefix limit ${limit}`,
      )
    }
  }
  t.strictSame(idsOf(await pagesOf('state=completed')), [])
  const pages = await pagesOf('limit=7')
  t.ok(pages.every(({ data }) => data.length <= 7))
  await s.database.query('delete from barriers')
})

t.test('a page has 100 members when no limit is given', async t => {
  await insert(
    `select 'hundred-' || number, number from generate_series(1, 250) as number`,
    `now() - number * interval '1 second'`,
  )
  t.strictSame(
    (await pagesOf('')).map(({ data }) => data.length),
    [100, 100, 50],
  )
  await s.database.query('delete from barriers')
})

t.test('what is created while a list is read neither shifts nor repeats it', async t => {
  await insert(
    `select 'old-' || number, number from generate_series(1, 6) as number`,
    `now() - interval '1 hour' - number * interval '1 second'`,
  )
  const first = (await s.call('GET', '/executions?limit=3')).body
  await s.enqueue('new', { total: 1 })
  await s.database.query(`delete from barriers where execution_id = 'old-3'`)
  const second = (await s.call('GET', `/executions?limit=3&cursor=${first.next_cursor}`)).body
  t.strictSame(idsOf([first, second]), ['old-1', 'old-2', 'old-3', 'old-4', 'old-5', 'old-6'])
  await s.database.query('delete from barriers')
})

t.test(
  'a run that is replaced while a list is read is met in order of id, not newest first',
  async t => {
    await insert(
      `select 'run-' || number, number from generate_series(1, 4) as number`,
      `now() - interval '1 hour' - number * interval '1 second'`,
    )
    const pageOf = async (query: string) =>
      (await s.call('GET', `/executions?limit=2&${query}`)).body as Page
    const [newest, byId] = [await pageOf(''), await pageOf('prefix=run-')]
    await s.enqueue('run-4', { total: 1, conflict_policy: 'replace' })
    const rest = await pageOf(`cursor=${newest.next_cursor}`)
    t.strictSame(idsOf([newest, rest]), ['run-1', 'run-2', 'run-3'])
    const restById = await pageOf(`prefix=run-&cursor=${byId.next_cursor}`)
    t.strictSame(idsOf([byId, restById]), ['run-1', 'run-2', 'run-3', 'run-4'])
    t.strictSame(idsOf([await pageOf('')]), ['run-4', 'run-1'])
    await s.database.query('delete from barriers')
  },
)

t.test('a prefix is compared byte for byte, whatever it is made of', async t => {
  const ids = [
    'a',
    'a%',
    'a%b',
    'a_',
    'a_b',
    'ab',
    'A',
    'a\\',
    'a\\b',
    "a'",
    'a/b',
    'a b',
    'a?',
    'a&b=c',
    'a+b',
    'é',
    'éa',
    'e\u0301',
    '😀',
    '😀😀',
    '\u{10FFFF}',
    '\u{10FFFF}a',
    'a'.repeat(255),
    `a${'\u{10FFFF}'.repeat(63)}`,
    'b',
  ]
  for (const id of ids) t.equal((await s.enqueue(id, { total: 1 })).status, 201, id)
  const inOrder = (prefix: string) =>
    ids
      .filter(id => id.startsWith(prefix))
      .toSorted((one, another) => Buffer.compare(Buffer.from(one), Buffer.from(another)))
  for (const prefix of [...ids, 'e', '\\', '%', '_', 'zz', 'aa', '\ud83d\ude00']) {
    for (const limit of [1, 4, 1000]) {
      t.strictSame(
        idsOf(await pagesOf(`limit=${limit}&prefix=${encodeURIComponent(prefix)}`)),
        inOrder(prefix),
        `${prefix.slice(0, 10)} limit ${limit}`,
      )
    }
  }
  await s.database.query('delete from barriers')
})

t.test('a prefix with a state looks at 10,000 ids at most, and goes on behind them', async t => {
  await insert(
    `select 'wide-' || lpad(number::text, 5, '0'), number from generate_series(0, 25000) as number`,
    `now()`,
    `case when number in (3, 10005, 25000) then 'aborted' else 'open' end`,
  )
  const pages = await pagesOf('prefix=wide-&state=aborted')
  t.strictSame(idsOf(pages), ['wide-00003', 'wide-10005', 'wide-25000'])
  t.ok(pages.length >= 3, `${pages.length} pages`)
  const one = await pagesOf('prefix=wide-&state=aborted&limit=1')
  t.strictSame(idsOf(one), ['wide-00003', 'wide-10005', 'wide-25000'])
  await s.database.query('delete from barriers')
})

t.test('a cursor that this list did not return is refused', async t => {
  const created_at = '2026-01-01T00:00:00.000000Z'
  const wrong = [
    'garbage',
    '%00',
    'null',
    forged(null),
    forged('text'),
    forged({}),
    forged({ generation: 1, after: 1 }),
    forged({ created_at }),
    forged({ created_at: 'yesterday', execution_id: 'a' }),
    forged({ created_at: '2026-13-01T00:00:00Z', execution_id: 'a' }),
    forged({ created_at: '2026-02-30T00:00:00Z', execution_id: 'a' }),
    forged({ created_at: '0000-01-01T00:00:00Z', execution_id: 'a' }),
    forged({ created_at: 'infinity', execution_id: 'a' }),
    forged({ created_at, execution_id: 7 }),
    forged({ created_at, execution_id: null }),
    forged({ created_at, execution_id: '\0' }),
    forged({ created_at, execution_id: '\ud800' }),
    forged({ created_at, execution_id: 'a', extra: 1 }),
    forged({ created_at: `2026-01-01T00:00:00.${'0'.repeat(130)}Z`, execution_id: 'a' }),
    'x'.repeat(2000),
  ]
  for (const cursor of wrong) {
    const { status, body } = await s.call('GET', `/executions?cursor=${cursor}`)
    t.equal(status, 400, Buffer.from(cursor, 'base64url').toString().slice(0, 80))
    t.match(body, { code: 'invalid_request', errors: [{ path: 'cursor' }] })
  }
})

t.test('a cursor goes on only in the list that it was made for', async t => {
  await s.enqueue('made-1', { total: 3 })
  await s.enqueue('made-2', { total: 3 })
  for (const index of [0, 1]) await s.claim('made-1', index)
  const lists = [
    '/executions?limit=1',
    '/executions?limit=1&state=open',
    '/executions?limit=1&prefix=made',
    '/executions?limit=1&prefix=made-',
    '/executions?limit=1&prefix=made-&state=open',
    '/executions/made-1/batches?limit=1',
    '/executions/made-1/batches?limit=1&state=claimed',
    '/executions/made-2/batches?limit=1&state=unclaimed',
  ]
  for (const made of lists) {
    const { next_cursor } = (await s.call('GET', made)).body
    t.type(next_cursor, 'string', made)
    for (const asked of lists) {
      const { status, body } = await s.call('GET', `${asked}&cursor=${next_cursor}`)
      t.equal(status, made === asked ? 200 : 400, `${made} in ${asked}`)
      if (status === 400)
        t.match(body.errors, [{ path: 'cursor', message: /not of this list.* another/ }])
    }
    for (const odd of [next_cursor.slice(0, -3), `${next_cursor}=`, `${next_cursor}&cursor=x`])
      t.equal((await s.call('GET', `${made}&cursor=${odd}`)).status, 400)
    const other = made.replace('limit=1', 'limit=2')
    t.equal((await s.call('GET', `${other}&cursor=${next_cursor}`)).status, 200, 'limit may differ')
  }
  const made = '/executions/made-1/batches?limit=1'
  const { next_cursor } = (await s.call('GET', made)).body
  t.equal((await s.call('GET', `${made}&generation=1&cursor=${next_cursor}`)).status, 200)
  t.match(await s.call('GET', `${made}&generation=2&cursor=${next_cursor}`), {
    status: 400,
    body: { errors: [{ path: 'cursor', message: /another generation/ }] },
  })
})
