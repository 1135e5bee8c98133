import { Pool } from 'pg'
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { readConfig } from '../../src/config.ts'
import { poolOptions } from '../../src/database/connect.ts'
import { freshDatabase } from '../fixtures/database.ts'

const source = new URL('../../src/', import.meta.url)
const statements = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(file =>
  file.endsWith('.sql'),
)

/** Which indexes a statement may use besides the primary keys, and what they are asked by. */
const besides: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  'routes/barriers/get.sql': { batches_claimed: /execution_id/ },
  'routes/barriers/list.sql': {
    barriers_newest_first: /\|\| ''/,
    barriers_newest_first_by_state: /\|\| ''/,
  },
  'routes/callbacks/claim.sql': {
    barriers_callbacks_to_pull:
      /\|\| ''.*callback_queue = .*callback_priority = .*callback_due_at <= now/,
  },
  'loops/pulls.sql': {
    barriers_callbacks_to_pull:
      /\|\| ''.*callback_queue = .*callback_priority = .*callback_due_at <= now/,
  },
  'loops/delivery/lease.sql': {
    // Either the step from one host to the next, or what is due of one.
    barriers_callbacks_to_post: /^(?!.*Index Cond)|callback_host (>|= .*callback_due_at <= now)/,
  },
  'loops/reaper/expire.sql': { barriers_to_expire: /expires_at <= now/ },
  'loops/reaper/stuck.sql': {
    barriers_to_check: /stuck_check_at <= now/,
    batches_claimed: /execution_id/,
  },
  'loops/reaper/exhaust.sql': {
    batches_out_of_attempts: /ROW\(namespace, execution_id|batch_index = /,
  },
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
  const { url } = await freshDatabase(t)
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
    if (file.startsWith('loops/')) {
      const used = new Set(onTables.map(({ index }) => index))
      t.strictSame(
        Object.keys(own).filter(index => !used.has(index)),
        [],
        `${file} uses its own`,
      )
    }
  }
})
