import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'
import { encode } from '../json/raw.ts'
import type { Slots } from './slots.ts'
import { connectFaultOf, DatabaseRefusal, type Fault, faultOf, miscounted } from './fault.ts'

/** A statement of a `.sql` file, named by its content, so that a prepared statement is never an older version of it. */
export interface Statement {
  name: string
  text: string
  /** False for a write without a nonce: it is not sent again once it may have had an effect. */
  repeatable?: boolean
  /** It waits for the barrier of its execution while somebody else has it locked; at most half of the pool may do that. */
  locksBarrier?: boolean
}

/** Reads the statement `file` that lies beside the module `beside` (its `import.meta.url`). */
export function statement(
  file: string,
  beside: string,
  facts: Pick<Statement, 'repeatable' | 'locksBarrier'> = {},
): Statement {
  const text = readFileSync(new URL(file, beside), 'utf8')
  const name = createHash('sha256').update(text).digest('hex').slice(0, 32)
  return { name, text, ...facts }
}

export interface Database {
  pool: pg.Pool
  /** The slots of statements that may wait for a barrier that somebody else has locked: at most half of the pool. */
  waiting: Slots
  /** How long a shared run may take, or wait for its slot, before the calls behind it are refused. */
  waitMs: number
  /** Whether statements are prepared by name. */
  prepared: boolean
}

const ATTEMPTS = 4

/**
 * Runs a statement and returns its rows without their nulls: an SQL NULL is an absent member. Where null is an answer, the
 * statement returns it in JSON.
 */
export async function execute<Row>(
  database: Database,
  sql: Statement,
  values: unknown[],
): Promise<Row[]> {
  return (await send<Row>(database, sql, values)).rows
}

export interface Sent<Row> {
  rows: Row[]
  /** Whether a copy that was sent before may have had an effect. */
  mayHaveRun: boolean
}

/**
 * Like `execute`. If `answers` gives the number of asks, each has to get one row.
 *
 * After a deadlock or a lost connection the same statement is sent again with the same values. That is safe because every
 * write bears the nonce of its ask: a repeat of a committed write answers as the first time.
 */
export async function send<Row>(
  { pool, prepared }: Database,
  { name, text, repeatable = true }: Statement,
  values: unknown[],
  {
    mayHaveRun = false,
    answers,
  }: Partial<Pick<Sent<Row>, 'mayHaveRun'>> & { answers?: number } = {},
): Promise<Sent<Row>> {
  const query = prepared ? { name, text, values } : { text, values }
  for (let attempt = 1; ; attempt += 1) {
    const { rows, fault, cause } = await attemptOf<Row>(pool, query)
    if (rows && rows.length !== (answers ?? rows.length))
      throw miscounted(`The statement ${name} returned ${rows.length} rows for ${answers} asks.`)
    if (rows) return { rows, mayHaveRun }
    if (fault.effect === 'unknown') mayHaveRun = true
    if (!fault.repeat || attempt === ATTEMPTS || (mayHaveRun && !repeatable)) {
      throw new DatabaseRefusal(mayHaveRun ? { ...fault, effect: 'unknown' } : fault, cause)
    }
    // Full jitter, so that two runs that met in a deadlock do not meet again.
    await pause(Math.random() * 50 * 2 ** attempt)
  }
}

/**
 * One JSON array of asks in, one row for each out. An ask that answers `again` met a change newer than its snapshot: all asks
 * run once more, in a new one.
 */
export async function ask<Row>(
  database: Database,
  sql: Statement,
  asks: readonly object[],
): Promise<Row[]> {
  for (let mayHaveRun = false; ;) {
    const sent: Sent<Row & { outcome?: string }> = await send(database, sql, [encode(asks)], {
      mayHaveRun,
      answers: asks.length,
    })
    if (sent.rows.every(({ outcome }) => outcome !== 'again')) return sent.rows
    mayHaveRun = sent.mayHaveRun
  }
}

type Attempt<Row> =
  { rows: Row[]; fault?: never; cause?: never } | { rows?: never; fault: Fault; cause: unknown }

async function attemptOf<Row>(pool: pg.Pool, query: pg.QueryConfig): Promise<Attempt<Row>> {
  let client: pg.PoolClient
  try {
    client = await pool.connect()
  } catch (cause) {
    return { fault: connectFaultOf(cause), cause }
  }
  let warning: Error | undefined
  const onNotice = (notice: { code?: string | undefined }) => {
    // A cancelled wait for a synchronous standby ends as success with this warning; a failover may lose the write.
    if (notice.code === '01000')
      warning = new Error('Postgres warned (01000) instead of confirming.')
  }
  client.on('notice', onNotice)
  try {
    const { rows } = await client.query<Record<string, unknown>>(query)
    if (warning) throw warning
    client.release()
    return { rows: rows.map(present) as Row[] }
  } catch (cause) {
    const fault = faultOf(cause)
    client.release(fault.effect === 'unknown' || fault.code === 'database_unavailable')
    return { fault, cause }
  } finally {
    client.off('notice', onNotice)
  }
}

function present(row: Record<string, unknown>): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const name in row) if (row[name] !== null) kept[name] = row[name]
  return kept
}
