import type { Client } from 'pg'
import { statement } from './statement.ts'

/** The server and the session, as `server.sql` reads them. */
export interface Server {
  server_version_num: number
  encoding: string
  fsync: string
  full_page_writes: string
  synchronous_commit: string
  is_bounded: boolean
  read_only: boolean
  triggers_fire: boolean
}

export const serverSql = statement('server.sql', import.meta.url)

export async function serverOf(client: Client): Promise<Server> {
  return (await client.query<Server>(serverSql.text)).rows[0] as Server
}

/** Why no schema can be made here: in one sentence, or nothing. */
export function wrongWithServer({ server_version_num, encoding }: Server): string | undefined {
  if (server_version_num < 150_000)
    return `The server is Postgres ${Math.floor(server_version_num / 10_000)}, and Rollcall needs 15 or newer; point DATABASE_URL at a newer server.`
  // In another encoding Postgres cannot hold every character of a result, or takes any bytes for text.
  if (encoding !== 'UTF8')
    return `The database has the encoding ${encoding}, and Rollcall needs UTF8; make another one: create database rollcall encoding 'UTF8' template template0.`
  return undefined
}

/** Why nothing can be written here: in one sentence, or nothing. */
export function wrongForWrites({ read_only, triggers_fire }: Server): string | undefined {
  if (read_only) return 'The database takes no writes; point DATABASE_URL at the primary.'
  if (!triggers_fire)
    return 'session_replication_role is replica, so the triggers that guard rows do not fire; reset it for this role and this database.'
  return undefined
}

/** Why an acknowledged write may be lost, or a statement never end: in one sentence, or nothing. */
export function wrongWithPromises(server: Server, allowUnsafe: boolean): string | undefined {
  if (!server.is_bounded)
    return 'A pooler between service and Postgres loses the time-outs that a connection sets: give them to the role (docs/operations.md, PgBouncer).'
  const unsafe = (['fsync', 'full_page_writes', 'synchronous_commit'] as const).filter(
    name => server[name] === 'off',
  )
  if (unsafe.length === 0 || allowUnsafe) return undefined
  return `${unsafe.join(' and ')} is off, so acknowledged writes may be lost; turn it on, or set ROLLCALL_ALLOW_UNSAFE_DURABILITY=true.`
}
