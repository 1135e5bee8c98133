import type { PoolClient } from 'pg'
import t, { type Test } from 'tap'
import { type Statement, statement } from '../../src/database/statement.ts'
import { clonedDatabase } from '../fixtures/database.ts'
import { ask, barrierOf, claimOf, decrementOf, statements } from '../fixtures/gate.ts'

const ASKS = 200

/** Every statement that takes several asks and looks barriers up by their key. */
const shared: Readonly<
  Record<string, { sql: Statement; asked: (execution: string, nth: number) => object }>
> = {
  claim: { sql: statements.claim, asked: claimOf },
  decrement: { sql: statements.decrement, asked: decrementOf },
  heartbeat: {
    sql: statements.heartbeat,
    asked: (execution, batch_index) => ask(execution, { batch_index, token: '1.1.a' }),
  },
  release: {
    sql: statements.release,
    asked: (execution, batch_index) => ask(execution, { batch_index, token: '1.1.a' }),
  },
  finish: {
    sql: statements.finish,
    asked: (execution, batch_index) =>
      ask(execution, { batch_index, token: '0.1.a', status: 'succeeded' }),
  },
  get: {
    sql: statement('../../src/routes/barriers/get.sql', import.meta.url),
    asked: execution => ask(execution),
  },
  notify: {
    sql: statement('../../src/waits/notify.sql', import.meta.url),
    asked: execution => ask(execution),
  },
  ended: {
    sql: statement('../../src/waits/ended.sql', import.meta.url),
    asked: (execution, nth) => ask(execution, { generation: 1 + (nth % 2) }),
  },
}

for (const [name, { sql, asked }] of Object.entries(shared)) {
  t.test(`${name} looks a barrier up once for a run, however many asks name it`, async t => {
    const client = await planned(t)
    const lookUps = async (count: number) => {
      const asks = Array.from({ length: count }, (_, nth) => asked('run', nth))
      await client.query('begin')
      const before = await scans(client)
      await run(client, sql, asks)
      const after = await scans(client)
      await client.query('rollback')
      return after - before
    }
    const alone = await lookUps(1)
    t.ok(alone > 0, `${alone} look-ups for one ask`)
    t.equal(await lookUps(ASKS), alone)
  })

  t.test(`${name} compares no ask with every execution of its run`, async t => {
    const client = await planned(t)
    const asks = Array.from({ length: ASKS }, (_, nth) => asked(`run-${nth}`, nth))
    await client.query('begin')
    const explained = await run(client, sql, asks, 'explain (analyze, costs off, timing off)')
    await client.query('rollback')
    const plan = explained.map(row => String(row['QUERY PLAN']))
    const compared = plan.filter(line => /Rows Removed by Join Filter: \d{4,}/.test(line))
    t.strictSame(compared, [], plan.join('\n'))
  })
}

/** A connection with the settings of the service's, on tables that are nearly empty when a statement is planned. */
async function planned(t: Test): Promise<PoolClient> {
  const { pool } = await clonedDatabase(t)
  const client = await pool.connect()
  t.teardown(() => client.release())
  await client.query(
    'set enable_seqscan = off; set plan_cache_mode = force_generic_plan; set jit = off',
  )
  for (const execution of ['run', ...Array.from({ length: ASKS }, (_, nth) => `run-${nth}`)]) {
    await run(client, statements.enqueue, [barrierOf(execution, ASKS + 1)])
  }
  return client
}

async function scans(client: PoolClient): Promise<number> {
  const { rows } = await client.query<{ scans: number }>(
    `select pg_stat_get_xact_numscans('barriers_key'::regclass)::integer as scans`,
  )
  return rows[0]?.scans ?? 0
}

async function run(
  client: PoolClient,
  { text }: Statement,
  asks: object[],
  before = '',
): Promise<Record<string, unknown>[]> {
  await client.query(`prepare subject as ${text}`)
  const values = [`'${JSON.stringify(asks)}'`, ...(text.includes('$2') ? ['true'] : [])]
  const { rows } = await client.query<Record<string, unknown>>(
    `${before} execute subject(${values.join(', ')})`,
  )
  await client.query('deallocate subject')
  return rows
}
