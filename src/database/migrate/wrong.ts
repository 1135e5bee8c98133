import { DatabaseError } from 'pg'
import { StartFailure } from '../../start-failure.ts'
import type { Migration } from './files.ts'
import type { Home, Recorded } from './record.ts'
import { isInLine } from './run.ts'

const OF_ITS_OWN =
  'give Rollcall a database of its own, or a schema of its own: create schema rollcall, and add ?options=-c%20search_path%3Drollcall to DATABASE_URL'

/** Why the schema cannot be made here, or go on: in one sentence, or nothing. */
export function wrongWithHome({ home, role, may_create, has_record, tables, are_ours }: Home) {
  if (home === null)
    return `search_path names no schema that exists and that ${role} may use; create it, or correct the search_path.`
  if (has_record && !are_ours && tables.length > 0)
    return `Tables of Rollcall in the schema ${home} were renamed, or lack columns, or are others' (${tables.join(' and ')}); restore them, or ${OF_ITS_OWN}.`
  if (!may_create)
    return `The role ${role} may not create tables in the schema ${home}: grant create on schema ${home} to ${role}, or run rollcall migrate with a role that may.`
  return undefined
}

/** The refusal of a schema that has tables of these names though nothing was migrated. */
export function takenBy({ home, tables }: Home): string {
  return `The schema ${home} already has a table ${tables.join(' and a table ')}, and no record that Rollcall made it; ${OF_ITS_OWN}.`
}

/** A database that another line of builds has migrated. */
export function wrongWithRecord(recorded: Recorded[], migrations: Migration[]): string | undefined {
  for (const { version, name, checksum } of recorded) {
    const own = migrations.find(migration => migration.version === version)
    if (own && own.checksum !== checksum)
      return `Migration ${version} of this database (${name}) is not the one of this build (${own.file}); deploy the build that migrated it, or a newer one.`
  }
  return undefined
}

/** Runs a migration; its failure says what to do about it. */
export async function mendable(migration: Migration, run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    const left = migration.alone
      ? 'Its finished statements stay, and the next run starts it again.'
      : 'Nothing of it is left, and the next run begins with it.'
    throw new StartFailure(
      `The schema could not be brought up to date. Migration ${migration.file}: ${causeOf(error)}. ${left}`,
      { cause: error },
    )
  }
}

function causeOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  if (!(error instanceof DatabaseError)) return message
  if (isInLine(error))
    return `another session keeps its table locked (${message}); find it in pg_locks, let it end, and run rollcall migrate again`
  if (/^(42P07|42710|42723)$/.test(error.code ?? '')) return `${message}; ${OF_ITS_OWN}`
  if (error.code === '23514')
    return `${message}; such a row was not written by the service: correct it, and run rollcall migrate again`
  return message
}
