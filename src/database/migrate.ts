import { setTimeout as pause } from 'node:timers/promises'
import { Client, type ClientConfig } from 'pg'
import { StartFailure } from '../start-failure.ts'
import { type Migration, readMigrations } from './migrate/files.ts'
import {
  createRecord,
  type Home,
  homeOf,
  keep,
  oldVersionOf,
  recordedOn,
} from './migrate/record.ts'
import { holds, run, transaction } from './migrate/run.ts'
import { type Standing, standing } from './migrate/standing.ts'
import { mendable, takenBy, wrongWithHome, wrongWithRecord } from './migrate/wrong.ts'
import { serverOf, wrongForWrites, wrongWithServer } from './server.ts'

const ASK_AGAIN_MS = 200

/** For a server that does not answer at all: TCP alone would wait for two minutes. */
export const CONNECT_WITHIN_MS = 5_000

export interface MigrateOptions {
  /** The folder of the files; by default that of this build. */
  folder?: string
  onProgress?: (sentence: string) => void
}

export interface Migrated extends Standing {
  applied: string[]
}

/**
 * Brings the schema up to date. Any number of replicas may start at once: one does the work. A migration is a transaction or
 * may run again, so the next run finishes one that was killed half way.
 */
export async function migrate(
  connection: string | ClientConfig,
  { folder, onProgress = () => undefined }: MigrateOptions = {},
): Promise<Migrated> {
  const migrations = await readMigrations(folder)
  const worker = await open(connection)
  try {
    const applied: string[] = []
    if ((await survey(worker, migrations)).pending.length > 0) {
      await onlyOne(connection, worker, onProgress, async () => {
        const { home, pending } = await begin(worker, migrations)
        for (const migration of pending) {
          await mendable(migration, () => run(worker, migration, { home, onProgress }))
          applied.push(migration.file)
        }
      })
    }
    return { applied, ...standing(await recordedOn(worker), migrations) }
  } finally {
    await worker.end()
  }
}

interface Survey {
  where: Home
  pending: Migration[]
}

/** Reads what is left to do, without a lock and without a write. */
async function survey(worker: Client, migrations: Migration[]): Promise<Survey> {
  const server = await serverOf(worker)
  refuseIf(wrongWithServer(server))
  const where = await homeOf(worker)
  const recorded = where.has_record ? await recordedOn(worker) : []
  refuseIf(wrongWithRecord(recorded, migrations))
  const pending = migrations.filter(
    ({ version }) => !recorded.some(record => record.version === version),
  )
  // A replica with nothing to do starts wherever the schema can be read.
  if (pending.length > 0) refuseIf(wrongForWrites(server) ?? wrongWithHome(where))
  return { where, pending }
}

/** Reads under the lock what is left to do, and makes the record if there is none. */
async function begin(
  worker: Client,
  migrations: Migration[],
): Promise<{ home: string; pending: Migration[] }> {
  const { where, pending } = await survey(worker, migrations)
  const home = where.home ?? ''
  if (where.has_record) return { home, pending }
  const version = await oldVersionOf(worker, where)
  if (version === 0 && where.tables.length > 0) refuseIf(takenBy(where))
  await transaction(worker, home, async () => {
    await createRecord(worker)
    for (const migration of migrations.slice(0, version)) await keep(worker, migration)
  })
  return { home, pending: pending.slice(version) }
}

/** Does `work` while nobody else migrates. If the connection of the lock is lost, the work ends too. */
async function onlyOne(
  connection: string | ClientConfig,
  worker: Client,
  onProgress: (sentence: string) => void,
  work: () => Promise<void>,
): Promise<void> {
  const keeper = await open(connection)
  const stop = () => void worker.end()
  try {
    for (let told = false; !(await holds(keeper)); told = true) {
      if (!told) onProgress('Another process migrates the schema; this one waits for it.')
      await pause(ASK_AGAIN_MS)
    }
    keeper.once('end', stop)
    await work()
  } finally {
    keeper.off('end', stop)
    await keeper.end()
  }
}

async function open(connection: string | ClientConfig): Promise<Client> {
  const client = new Client({
    ...(typeof connection === 'string' ? { connectionString: connection } : connection),
    application_name: 'rollcall migrate',
    connectionTimeoutMillis: CONNECT_WITHIN_MS,
    keepAlive: true,
  })
  // A lost connection fails the query that is on it; without a listener it would end the process.
  client.on('error', () => undefined)
  await client.connect()
  return client
}

function refuseIf(reason: string | undefined): void {
  if (reason !== undefined) throw new StartFailure(reason)
}
