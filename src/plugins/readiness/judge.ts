import { DatabaseError } from 'pg'
import type { Config } from '../../config.ts'
import { readMigrations } from '../../database/migrate/files.ts'
import { type Recorded, recordedSql } from '../../database/migrate/record.ts'
import { standing, wrongWithStanding } from '../../database/migrate/standing.ts'
import {
  type Server,
  serverSql,
  wrongForWrites,
  wrongWithPromises,
  wrongWithServer,
} from '../../database/server.ts'
import { type Database, execute, statement } from '../../database/statement.ts'
import { DatabaseRefusal } from '../../database/fault.ts'

const sql = statement('judge.sql', import.meta.url)
const migrations = await readMigrations()

/** The row of `judge.sql` when it does not fail. */
interface Schema {
  is_one: boolean
  is_filtered: boolean
}

/**
 * One sentence that says why no request can be served on this database, or nothing. Of several reasons it names the cause and
 * not the consequence. Throws when the database is away, which requests find out themselves.
 */
export async function wrongWith(database: Database, config: Config): Promise<string | undefined> {
  const [server] = await execute<Server>(database, serverSql, [])
  if (!server) return undefined
  return (
    wrongWithServer(server) ??
    (await wrongWithVersion(database)) ??
    wrongForWrites(server) ??
    wrongWithPromises(server, config.ROLLCALL_ALLOW_UNSAFE_DURABILITY) ??
    (await wrongWithSchema(database))
  )
}

async function wrongWithVersion(database: Database): Promise<string | undefined> {
  try {
    const recorded = await execute<Recorded>(database, recordedSql, [])
    return wrongWithStanding(standing(recorded, migrations))
  } catch (error) {
    const cause = schemaErrorOf(error)
    // Without its record the database was never migrated, or a service that wrote no record yet migrated it.
    return cause.code === UNKNOWN_TABLE
      ? wrongWithStanding(standing([], migrations))
      : lackOf(cause)
  }
}

async function wrongWithSchema(database: Database): Promise<string | undefined> {
  let schema: Schema | undefined
  try {
    ;[schema] = await execute<Schema>(database, sql, [])
  } catch (error) {
    return lackOf(schemaErrorOf(error))
  }
  if (schema?.is_one === false)
    return 'search_path finds tables called barriers, batches and rollcall_migrations in several schemas; name only the schema of Rollcall in it.'
  if (schema?.is_filtered)
    return 'Row-level security hides rows of barriers or batches from this role; disable it there, or give the role bypassrls.'
  return undefined
}

const UNKNOWN_TABLE = '42P01'
const DENIED = '42501'

/** The error of Postgres behind a refusal that is about the schema; throws any other. */
function schemaErrorOf(error: unknown): DatabaseError {
  const isSchema = error instanceof DatabaseRefusal && error.code === 'not_ready'
  if (isSchema && error.cause instanceof DatabaseError) return error.cause
  throw error
}

function lackOf({ code, message }: DatabaseError): string {
  return code === DENIED
    ? `The role of DATABASE_URL lacks a right: ${message}; grant it.`
    : `The schema is not as migrations made it: ${message}; restore what is missing.`
}
