import { Client } from 'pg'
import t from 'tap'
import { connectFaultOf, DatabaseRefusal, faultOf } from '../../src/database/fault.ts'
import { clonedDatabase, freshDatabase } from '../fixtures/database.ts'
import { lockOf } from '../fixtures/gate.ts'
import { service } from '../fixtures/service.ts'

const { pool, url } = await freshDatabase(t)

/** The error that Postgres itself raises with this code. */
async function raised(code: string): Promise<unknown> {
  return pool
    .query(`do $$ begin raise exception using errcode = '${code}'; end $$`)
    .catch((error: unknown) => error)
}

t.test('what surely had no effect is told so, what may have had one as well', async t => {
  const overloaded = { code: 'overloaded', effect: 'none' }
  const expected: Record<string, object> = {
    // Serialization failure and deadlock: safe to repeat.
    '40001': { ...overloaded, repeat: true },
    '40P01': { ...overloaded, repeat: true },
    // Lock and statement timeouts: a repeat would wait as long again.
    '55P03': { ...overloaded, repeat: false },
    '57014': { ...overloaded, repeat: false },
    // The time-out of a transaction also ends its connection, perhaps after the commit.
    '25P04': { code: 'overloaded', effect: 'unknown', repeat: false, blamesOneAsk: true },
    '53300': { ...overloaded, repeat: false },
    // Out of disk or memory, read-only, starting up: nothing was written.
    '53100': { code: 'database_unavailable', effect: 'none' },
    '53200': { code: 'database_unavailable', effect: 'none' },
    '25006': { code: 'database_unavailable', effect: 'none' },
    '57P03': { code: 'database_unavailable', effect: 'none' },
    // The connection was ended: it may have been committed.
    '57P01': { code: 'database_unavailable', effect: 'unknown', repeat: true },
    '57P02': { code: 'database_unavailable', effect: 'unknown', repeat: true },
    '08006': { code: 'database_unavailable', effect: 'unknown', repeat: true },
    '58030': { code: 'database_unavailable', effect: 'unknown' },
    // The schema is not there.
    '42P01': { code: 'not_ready', effect: 'none' },
    '42703': { code: 'not_ready', effect: 'none' },
    '42883': { code: 'not_ready', effect: 'none' },
    // A pooler gave the statement to a connection that does not know it.
    '26000': { code: 'not_ready', effect: 'none', repeat: false },
    '42P05': { code: 'not_ready', effect: 'none', repeat: false },
    // A defect of ours, which one ask may have brought.
    // A value that no rule of the schema names.
    '22003': { code: 'invalid_request', effect: 'none', repeat: false, blamesOneAsk: true },
    '22007': { code: 'invalid_request', effect: 'none', repeat: false, blamesOneAsk: true },
    '22P05': { code: 'invalid_request', effect: 'none', repeat: false, blamesOneAsk: true },
    '23505': { code: 'internal_error', effect: 'none', repeat: false, blamesOneAsk: true },
    '23514': { code: 'internal_error', effect: 'none', repeat: false, blamesOneAsk: true },
    '42601': { code: 'internal_error', effect: 'none', repeat: false },
  }
  for (const [code, fault] of Object.entries(expected)) {
    t.match(faultOf(await raised(code)), fault, code)
  }
})

t.test('an error without a code of Postgres leaves the effect unknown', async t => {
  t.match(faultOf(new Error('Connection terminated unexpectedly')), {
    code: 'database_unavailable',
    effect: 'unknown',
    repeat: true,
  })
  t.match(faultOf(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })), {
    effect: 'unknown',
  })
  t.match(faultOf('text'), { effect: 'unknown' })
})

t.test('a server that never answered is not asked again', async t => {
  const client = new Client({ connectionString: url, query_timeout: 50 })
  await client.connect()
  client.on('error', () => undefined)
  // Nobody waits for it: the client gives up after 50 ms, and the statement is ended below.
  const error = await client.query('select pg_sleep(60)').catch((caught: unknown) => caught)
  t.match(faultOf(error), { code: 'database_unavailable', effect: 'unknown', repeat: false })
  await pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(60)'`,
  )
  await client.end()
})

t.test(
  'a transaction that its role cuts off is refused, and the next caller is served',
  async t => {
    const database = await clonedDatabase(t)
    const holder = await database.pool.connect()
    const [row] = await database.query<{ name: string }>('select current_database() as name')
    await database.query(`alter database "${row?.name ?? ''}" set transaction_timeout = '300ms'`)
    const s = await service(t, { database, settings: { ROLLCALL_POOL_SIZE: '1' } })
    await s.enqueue('locked', { total: 1 })
    await holder.query('begin')
    await holder.query(lockOf('locked'))
    const refused = await s.abort('locked')
    await holder.query('rollback')
    holder.release()
    t.match(refused, { status: 503, body: { code: 'overloaded', effect: 'unknown' } })
    t.equal((await s.abort('locked')).status, 200)
  },
)

t.test('nothing was sent where there was no connection', async t => {
  const refused = new Client({ connectionString: 'postgres://nobody@127.0.0.1:1/nothing' })
  const error = await refused.connect().catch((caught: unknown) => caught)
  t.match(connectFaultOf(error), { code: 'database_unavailable', effect: 'none', repeat: true })
  t.match(connectFaultOf(new Error('timeout exceeded when trying to connect')), {
    code: 'overloaded',
    effect: 'none',
    repeat: false,
  })
})

t.test('every refusal of the database but a defect says how long to stay away', async t => {
  for (const code of ['40001', '57P01', '42P01', '53300']) {
    const refusal = new DatabaseRefusal(faultOf(await raised(code)), undefined)
    t.match(refusal.headers, { 'retry-after': /^[1-9]\d*$/ }, code)
    t.equal(refusal.status, 503)
  }
  const defect = new DatabaseRefusal(faultOf(await raised('23505')), undefined)
  t.match(defect.problem, { status: 500, effect: 'none' })
})
