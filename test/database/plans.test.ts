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

/** Which indexes a statement may use besides the primary keys. */
const besides: Readonly<Record<string, string[]>> = {
  'routes/barriers/get.sql': ['batches_claimed'],
  'routes/barriers/list.sql': ['barriers_newest_first', 'barriers_newest_first_by_state'],
}

t.test('a plan that was made on empty tables looks every row up by its key', async t => {
  const { url } = await freshDatabase(t)
  const pool = new Pool(poolOptions(readConfig({}), { connectionString: url }))
  t.teardown(() => pool.end())
  t.ok(statements.includes('routes/batches/claim.sql'), 'the statements were found')

  const client = await pool.connect()
  t.teardown(() => client.release())
  await client.query('set plan_cache_mode = force_generic_plan')
  for (const file of statements) {
    const text = readFileSync(new URL(file, source), 'utf8')
    await client.query(`prepare subject as ${text}`)
    const given = text.includes('$1') ? `('[]'${text.includes('$2') ? ', true' : ''})` : ''
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain execute subject${given}`)
    await client.query('deallocate subject')

    const plan = rows.map(row => row['QUERY PLAN'])
    const onTables = plan.filter(
      line => / on (barriers|batches)\b/.test(line) && line.includes('Scan'),
    )
    const allowed = new Set(['barriers_key', 'batches_key', ...(besides[file] ?? [])])
    const strangers = onTables.filter(line => !allowed.has(/using (\w+) on/.exec(line)?.[1] ?? ''))
    t.strictSame(strangers, [], file)
    // A key look-up names the row, not only the namespace.
    const conditions = plan.filter(line => line.includes('Index Cond'))
    for (const condition of conditions)
      t.match(condition, /execution_id|\|\| ''/, `${file}: ${condition.trim()}`)
  }
})
