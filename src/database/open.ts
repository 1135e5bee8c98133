import { type Config, shown } from '../config.ts'
import { StartFailure } from '../start-failure.ts'
import { CONNECT_WITHIN_MS } from './migrate.ts'

/** The Postgres that the service runs on: given by DATABASE_URL, or its own. */
export interface OpenPostgres {
  url: string
  /** For the banner: the database and the place of its data. */
  words: string
  /** The data folder of the embedded Postgres. */
  dataDir?: string
  stop: () => Promise<void>
}

/** Connects to the given Postgres once, or starts the embedded one. */
export async function openPostgres(config: Config): Promise<OpenPostgres> {
  const url = config.DATABASE_URL
  if (url !== undefined) {
    await reach(url)
    return {
      url,
      words: `your Postgres at ${String(shown(config)['DATABASE_URL'])}`,
      stop: async () => undefined,
    }
  }
  // Loaded only here, so that with DATABASE_URL none of it is loaded.
  const { startEmbedded } = await import('./embedded.ts')
  const embedded = await startEmbedded({
    dataDir: config.ROLLCALL_DATA_DIR,
    onProgress: sentence => process.stderr.write(`${sentence}\n`),
  })
  const words = `its own Postgres ${embedded.version} (${embedded.origin}), data in ${embedded.dataDir}`
  return { url: embedded.url, dataDir: embedded.dataDir, words, stop: () => embedded.stop() }
}

async function reach(url: string): Promise<void> {
  const { Client } = (await import('pg')).default
  const client = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_WITHIN_MS })
  try {
    await client.connect()
    await client.end()
  } catch (error) {
    const { host, port, database } = client
    // For a name with several addresses Node reports one error for each, and no message of its own.
    const [first = error] = error instanceof AggregateError ? (error.errors as unknown[]) : []
    const why = first instanceof Error ? first.message : 'no reason given'
    throw new StartFailure(
      `DATABASE_URL cannot be reached: ${database} at ${host}:${port} (${why}). Start that server or correct the URL; without DATABASE_URL Rollcall starts its own Postgres.`,
    )
  }
}
