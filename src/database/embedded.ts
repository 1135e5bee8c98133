import { Client, DatabaseError } from 'pg'
import { dropPgVariables } from './embedded/account.ts'
import { urlOf } from './embedded/address.ts'
import { lastLine, packagedBinaries } from './embedded/binaries.ts'
import { type DataFolder, openDataFolder } from './embedded/folder.ts'
import { poll } from './embedded/poll.ts'
import {
  bringUp,
  connect,
  createCluster,
  type Origin,
  type ServerOptions,
  shutDown,
} from './embedded/server.ts'

export interface Embedded {
  /** Reaches the database `rollcall`, in the form of `DATABASE_URL`. */
  url: string
  /** Absolute; for root not always the folder asked for (see embedded/folder.ts). */
  dataDir: string
  version: string
  /**
   * created: the folder was empty. started: the server had been stopped. recovered: it had been
   * killed. adopted: it was running, started by another service or by one that was killed.
   */
  origin: Origin | 'created'
  /** Call it once all own connections are closed. A server that others use keeps running. */
  stop(): Promise<void>
}

const DATABASE = 'rollcall'

/** pg ends the connections of a pool without waiting for the server to notice. */
const LEAVING_FOR_MS = 1_000
const REVIVE_EVERY_MS = 1_000

/**
 * Starts a real, durable Postgres in `dataDir`, or adopts the one that runs there. It outlives a
 * kill of this process. As long as this process lives, it restarts a server that died, since
 * nobody else would.
 */
export async function startEmbedded({
  // First of all, so that a missing Postgres is reported as such, and not as a fault of the folder.
  packaged = packagedBinaries(),
  ...given
}: ServerOptions & { dataDir: string }): Promise<Embedded> {
  const options = { ...given, packaged }
  dropPgVariables()
  const folder = await openDataFolder(options.dataDir)
  const isNew = await createCluster(folder, options)
  const { client, origin } = await bringUp(folder, options)
  await createDatabase(client)
  const { rows } = await client.query<{ server_version: string }>('show server_version')
  return {
    url: await urlOf(folder, DATABASE),
    dataDir: folder.root,
    version: rows[0]?.server_version ?? '',
    origin: isNew && origin === 'started' ? 'created' : origin,
    stop: keepUp(client, folder, options),
  }
}

/** Two services may do this at once, and a server may have been killed between initdb and this. */
async function createDatabase(client: Client): Promise<void> {
  const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE])
  if (rowCount !== 0) return
  await client.query(`create database ${DATABASE}`).catch((error: unknown) => {
    const isThereNow = error instanceof DatabaseError && /^(?:42P04|23505)$/.test(error.code ?? '')
    if (!isThereNow) throw error
  })
}

/**
 * Holds one connection: while it is open no other service stops the server, and when it breaks the
 * server is started again. Returns a function that ends this, and the server too if no others use it.
 */
function keepUp(first: Client, folder: DataFolder, options: ServerOptions) {
  const { onProgress = () => undefined } = options
  let stopping = false
  let presence = first
  let revival = Promise.resolve()

  const watch = (client: Client) => {
    presence = client
    client.once('end', () => {
      if (!stopping) revival = revive()
    })
  }

  const isSettled = async () => {
    if (stopping) return true
    try {
      watch((await bringUp(folder, options)).client)
      return true
    } catch (error) {
      onProgress(lastLine(error))
      return undefined
    }
  }

  const revive = async () => {
    onProgress('Postgres went away; it is started again.')
    await poll(isSettled, { everyMs: REVIVE_EVERY_MS })
  }

  watch(first)
  return async () => {
    stopping = true
    await revival
    await presence.end()
    if (await isUnused(folder)) await shutDown(folder, options)
    else onProgress('Postgres keeps running, because others are connected to it.')
  }
}

/** Asks over a connection whose name says that it leaves, so that two services that stop at once do not wait for each other. */
async function isUnused(folder: DataFolder): Promise<boolean> {
  const leaver = await connect(folder, 'rollcall leaving')
  if (!(leaver instanceof Client)) return true
  const ask = async () => {
    const { rowCount } = await leaver.query(
      `select from pg_stat_activity
      where backend_type = 'client backend' and application_name <> 'rollcall leaving'`,
    )
    return rowCount === 0 || undefined
  }
  const unused = await poll(ask, { forMs: LEAVING_FOR_MS }).finally(() => leaver.end())
  return unused === true
}
