import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client, type ClientConfig } from 'pg'
import Postgrator from 'postgrator'

/** The numbered files of `migrations/`, from `src/database` and from `dist/database` alike. */
const files = fileURLToPath(new URL('../../migrations/*.sql', import.meta.url))

/** Nobody else takes it: "rollcall" in ASCII, cut to 63 bits. */
const MIGRATION_LOCK = '8245921731710545001'

export interface Migrated {
  /** The schema's version afterwards. */
  version: number
  applied: string[]
}

/**
 * Brings the schema up to date, in one transaction under one lock, so that any number of replicas may start at once and a
 * killed one leaves nothing half done. The lock is a transaction's, which also holds through a transaction pooler.
 */
export async function migrate(connection: string | ClientConfig): Promise<Migrated> {
  const client = new Client(
    typeof connection === 'string' ? { connectionString: connection } : connection,
  )
  await client.connect()
  try {
    await client.query('begin')
    await client.query('set local lock_timeout = 0')
    await client.query(`select pg_advisory_xact_lock(${MIGRATION_LOCK})`)
    const postgrator = postgratorOn(client)
    const applied = await postgrator.migrate()
    await client.query('commit')
    // A database that is ahead stays as it is: going back is a decision for people.
    return {
      version: await postgrator.getDatabaseVersion(),
      applied: applied.map(({ filename }) => basename(filename)),
    }
  } finally {
    await client.end()
  }
}

/** The version that the files of this build make. */
export async function newestVersion(): Promise<number> {
  return postgratorOn().getMaxVersion()
}

function postgratorOn(client?: Client): Postgrator {
  return new Postgrator({
    driver: 'pg',
    migrationPattern: files,
    schemaTable: 'schemaversion',
    ...(client ? { execQuery: (query: string) => client.query(query) } : {}),
  })
}
