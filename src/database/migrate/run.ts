import { setTimeout as pause } from 'node:timers/promises'
import { type Client, DatabaseError } from 'pg'
import { statement } from '../statement.ts'
import type { Migration } from './files.ts'
import { keep } from './record.ts'

const settingsSql = statement('settings.sql', import.meta.url)
const lockSql = statement('lock.sql', import.meta.url)

/**
 * How a migration waits for locks.
 *
 * In a transaction it may lock a whole table, and callers then queue behind it: so it waits for less than a caller's own
 * lock_timeout (2 s), but more than deadlock_timeout (1 s), after which an autovacuum gives way. Between two tries the queue
 * moves on. Outside a transaction, as for an index, it waits for open transactions, and nobody waits for it.
 */
const WHOLE = { lockTimeout: '1500ms', tries: 40 }
const ALONE = { lockTimeout: '60s', tries: 10 }
const REST_MS = 1_000

export interface Progress {
  /** The schema in which it creates. */
  home: string
  onProgress: (sentence: string) => void
}

/** Runs one migration and puts it on record. */
export async function run(
  client: Client,
  migration: Migration,
  { home, onProgress }: Progress,
): Promise<void> {
  const { file, alone } = migration
  const { tries } = alone ? ALONE : WHOLE
  for (let attempt = 1; ; attempt += 1) {
    onProgress(`Migration ${file} runs.`)
    try {
      if (alone) await eachAlone(client, migration, alone, home)
      else await asOne(client, migration, home)
      return
    } catch (error) {
      if (!isInLine(error) || attempt === tries) throw error
      onProgress(`Migration ${file} waits for a lock (${attempt} of ${tries} tries).`)
      // Full jitter, so that it does not meet the same work again and again.
      await pause(REST_MS * (0.5 + Math.random()))
    }
  }
}

/** A lock that was not granted in time, or a deadlock: a repeat may succeed. */
export function isInLine(error: unknown): boolean {
  return error instanceof DatabaseError && (error.code === '55P03' || error.code === '40P01')
}

/** In one transaction with its record: all of it, or nothing. */
async function asOne(client: Client, migration: Migration, home: string): Promise<void> {
  await transaction(client, home, async () => {
    await client.query(migration.text)
    await keep(client, migration)
  })
}

export async function transaction(
  client: Client,
  home: string,
  work: () => Promise<void>,
): Promise<void> {
  await client.query('begin isolation level read committed')
  try {
    await client.query(settingsSql.text, [WHOLE.lockTimeout, home, true])
    await work()
    await client.query('commit')
  } catch (error) {
    // Where the connection is lost there is nothing to roll back, and the cause is the error.
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

/** Each statement by itself, and the record at the end: a migration killed before that runs again from its first statement. */
async function eachAlone(
  client: Client,
  migration: Migration,
  statements: string[],
  home: string,
): Promise<void> {
  await client.query(settingsSql.text, [ALONE.lockTimeout, home, false])
  for (const text of statements) await client.query(text)
  await keep(client, migration)
}

/** Whether this connection holds the lock of the migrations now, and until it ends. */
export async function holds(keeper: Client): Promise<boolean> {
  await keeper.query('begin isolation level read committed')
  await keeper.query(settingsSql.text, ['0', 'pg_catalog', true])
  const { rows } = await keeper.query<{ is_held: boolean }>(lockSql.text)
  if (rows[0]?.is_held === true) return true
  await keeper.query('rollback')
  return false
}
