import type { Client } from 'pg'
import { statement } from '../statement.ts'
import type { Migration } from './files.ts'

/** Where the schema is, and whose tables are there (`home.sql`). */
export interface Home {
  /** As an identifier, quoted where it needs to be; null when search_path names no schema that exists. */
  home: string | null
  may_create: boolean
  role: string
  has_record: boolean
  tables: string[]
  are_ours: boolean
  has_old_record: boolean
}

/** A row of `rollcall_migrations`. */
export interface Recorded {
  version: number
  name: string
  checksum: string
  oldest_service: number
}

const homeSql = statement('home.sql', import.meta.url)
const recordSql = statement('record.sql', import.meta.url)
export const recordedSql = statement('recorded.sql', import.meta.url)
const keepSql = statement('keep.sql', import.meta.url)
const oldRecordSql = statement('old-record.sql', import.meta.url)

/** The MD5 of migrations 1 to 3, as services from before `rollcall_migrations` put them into `schemaversion`. */
const OLD_CHECKSUMS = [
  '96305f3d1bc0c8a8a286c18407cfb026',
  'f9c62b4723181b329ad4b21cef431408',
  '0c5304cf24d038f1576522d6973041d6',
]

export async function homeOf(client: Client): Promise<Home> {
  const { rows } = await client.query<Home>(homeSql.text)
  return rows[0] as Home
}

export async function recordedOn(client: Client): Promise<Recorded[]> {
  return (await client.query<Recorded>(recordedSql.text)).rows
}

export async function createRecord(client: Client): Promise<void> {
  await client.query(recordSql.text)
}

export async function keep(client: Client, migration: Migration): Promise<void> {
  const { version, file, checksum, oldestService } = migration
  await client.query(keepSql.text, [version, file, checksum, oldestService])
}

/**
 * How many migrations a service from before `rollcall_migrations` has run here, or 0 when `schemaversion` is not its record.
 * That table is left as it is, so that such a service still runs, and one can roll back to it.
 */
export async function oldVersionOf(client: Client, home: Home): Promise<number> {
  if (!home.are_ours || !home.has_old_record) return 0
  const { rows } = await client.query<{ record: { version?: unknown; md5?: unknown } }>(
    oldRecordSql.text,
  )
  const run = rows.map(({ record }) => record).filter(({ version }) => version !== 0)
  const isOurs = run.every(
    ({ version, md5 }) => typeof version === 'number' && md5 === OLD_CHECKSUMS[version - 1],
  )
  return isOurs && new Set(run.map(({ version }) => version)).size === run.length ? run.length : 0
}
