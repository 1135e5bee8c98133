import { Pool } from 'pg'
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { readConfig } from '../../src/config.ts'
import { poolOptions } from '../../src/database/connect.ts'
import { clonedDatabase } from '../fixtures/database.ts'

const source = new URL('../../src/', import.meta.url)
/** Of requests and loops: those of database/ ask the server itself, and may ask for a table that is not there yet. */
const statements = ['routes', 'loops', 'plugins'].flatMap(folder =>
  readdirSync(new URL(folder, source), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.sql'))
    .map(file => `${folder}/${file}`),
)

/** Which indexes a statement may use besides the primary keys, and what they are asked by. */
const besides: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  'routes/barriers/get.sql': { batches_held: /execution_id/ },
  'routes/barriers/list.sql': {
    barriers_newest_first: /\|\| ''/,
    barriers_newest_first_by_state: /\|\| ''/,
  },
  'routes/callbacks/claim.sql': {
    barriers_callbacks_to_pull:
      /\|\| ''.*callback_queue = .*callback_priority = .*callback_due_at <= now/,
  },
  'plugins/readiness/judge.sql': { pg_class_oid_index: /oid = ANY/ },
  'waits/due.sql': {
    barriers_callbacks_to_pull:
      /\|\| ''.*callback_queue = .*callback_priority = .*callback_due_at <= now/,
  },
  'loops/delivery/look.sql': {
    // Either the step from one receiver to the next, or what is due of one.
    barriers_callbacks_by_receiver:
      /ROW\(callback_host, callback_receiver\(callback\)\) > ROW|callback_host = .*callback_receiver\(callback\) = .*callback_due_at <= now/,
  },
  'loops/reaper/expire.sql': { barriers_to_expire: /expires_at <= now/ },
  'loops/reaper/stuck.sql': {
    barriers_to_check: /stuck_check_at <= now/,
    batches_held: /execution_id/,
  },
  'loops/reaper/exhaust.sql': {
    batches_out_of_attempts: /ROW\(namespace, execution_id|batch_index = /,
  },
  'loops/reaper/end-leases.sql': { barriers_callbacks_leased: /callback_leased_at > \(now/ },
  'loops/reaper/give-up.sql': { barriers_callbacks_to_give_up: /callback_due_at <= \(now/ },
  'loops/reaper/forget-claims.sql': { batches_without_barrier: /claimed_at <= \(now/ },
  'loops/reaper/forget-replaced.sql': { barriers_replaced: /created_at (<=|>) \(now/ },
  'loops/reaper/forget-batches.sql': {
    barriers_over: /batches_kept = true.* <= \(now/,
  },
  'loops/reaper/forget-barriers.sql': {
    barriers_over: /batches_kept = false.* <= \(now/,
  },
}

t.test('a plan that was made on empty tables looks every row up by its key', async t => {
  const { url } = await clonedDatabase(t)
  const pool = new Pool(poolOptions(readConfig({}), { connectionString: url }))
  t.teardown(() => pool.end())
  t.ok(statements.includes('routes/batches/claim.sql'), 'the statements were found')

  const client = await pool.connect()
  t.teardown(() => client.release())
  for (const file of statements) {
    const text = readFileSync(new URL(file, source), 'utf8')
    await client.query(`prepare subject as ${text}`)
    // A generic plan is the same whatever the values are.
    const parameters = Math.max(0, ...[...text.matchAll(/\$(\d)/g)].map(([, nth]) => Number(nth)))
    const given = parameters === 0 ? '' : `(${Array(parameters).fill('null').join(', ')})`
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain execute subject${given}`)
    await client.query('deallocate subject')

    const plan = rows.map(row => row['QUERY PLAN'])
    // Of a bitmap, its index tells what is read.
    const onTables = plan.flatMap((line, nth) => {
      const [, bitmap, index = bitmap] =
        /Bitmap Index Scan on (\w+)|Scan (?:using (\w+) )?on (?:barriers|batches)\b/.exec(line) ??
        []
      return (bitmap ?? index) !== undefined || / Seq Scan on (barriers|batches)\b/.test(line)
        ? [{ line, index: index ?? '', condition: plan[nth + 1] ?? '' }]
        : []
    })
    const own = besides[file] ?? {}
    // A key look-up names the row, not only the namespace.
    const asked: Readonly<Record<string, RegExp>> = {
      barriers_key: /execution_id/,
      batches_key: /execution_id/,
      ...own,
    }
    const strangers = onTables.filter(({ index, condition }) => {
      const by = asked[index]
      return by === undefined || !by.test(condition.includes('Index Cond') ? condition : '')
    })
    t.strictSame(strangers, [], file)
    if (/^(loops|waits)\//.test(file)) {
      const used = new Set(onTables.map(({ index }) => index))
      t.strictSame(
        Object.keys(own).filter(index => !used.has(index)),
        [],
        `${file} uses its own`,
      )
    }
  }
})

t.test('a pull reads what is due in its queue, however much is settled or elsewhere', async t => {
  const { url } = await clonedDatabase(t)
  const pool = new Pool(poolOptions(readConfig({}), { connectionString: url }))
  t.teardown(() => pool.end())
  const client = await pool.connect()
  t.teardown(() => client.release())
  const barriers = (queue: string, state: string, count: number) =>
    client.query(
      `insert into barriers (
        execution_id, total, state, closed_at, closing_nonce, fingerprint, enqueue_nonce, expires_at, callback,
        callback_queue, callback_priority, callback_events, callback_state, callback_id, callback_due_at, callback_settled_at, callback_message
      )
      select $1 || $2 || number, 0, 'completed', now(), 'c', 'f', 'n', now(),
        json_build_object('queue', $1::text, 'priority', 1 + number % 10), $1, 1 + number % 10, '{completed}', $2, $1 || $2 || number,
        case when $2 = 'due' then now() - make_interval(secs => number) end,
        case when $2 = 'delivered' then now() end, case when $2 = 'delivered' then '{}'::json end
      from generate_series(1, $3::integer) as number`,
      [queue, state, count],
    )
  const text = readFileSync(new URL('routes/callbacks/claim.sql', source), 'utf8')
  await client.query(`prepare subject as ${text}`)
  const asked = {
    namespace: '',
    queue: 'asked',
    most: 3,
    lease_seconds: 60,
    inline_bytes: 0,
    public_url: '',
    reply_bytes: 8_388_608,
  }
  const poll = async () => {
    await client.query('begin')
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(
      `explain (analyze, buffers, costs off, timing off, summary off)
      execute subject('${JSON.stringify([asked])}')`,
    )
    await client.query('rollback')
    return rows.map(row => row['QUERY PLAN'])
  }

  await barriers('asked', 'due', 40)
  await client.query('vacuum analyze barriers')
  const alone = await poll()
  await barriers('asked', 'delivered', 20_000)
  await barriers('other', 'due', 5_000)
  await client.query('vacuum analyze barriers')
  const among = await poll()
  t.comment(among.join('\n'))

  const scans = among.filter(line => / on barriers\b/.test(line) && line.includes('Scan'))
  t.ok(scans.every(line => /using barriers_(key|callbacks_to_pull) on/.test(line)))
  // The three taken, and one priority: nothing was read that is not due here, and nothing of it sorted.
  const scan = among.findIndex(line => line.includes('using barriers_callbacks_to_pull'))
  t.match(among[scan], /rows=3(\.00)? loops=1\)/)
  const above = among.slice(0, scan).findLastIndex(line => line.includes('CTE held'))
  t.notMatch(among.slice(above, scan).join('\n'), 'Sort')
  t.ok(pages(among) <= pages(alone) + 30, `${pages(alone)} pages alone, ${pages(among)} among all`)
})

/** The pages that the whole statement read. */
function pages(plan: string[]): number {
  return Number(/shared hit=(\d+)/.exec(plan.find(line => line.includes('Buffers')) ?? '')?.[1])
}
