import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { buildApp } from '../app.ts'
import { baseUrl } from './base-url.ts'
import { type Config, shown, unknownVariables } from '../config.ts'
import { CONNECT_WITHIN_MS, migrate, type Migrated } from '../database/migrate.ts'
import { wrongWithStanding } from '../database/migrate/standing.ts'
import { StartFailure } from '../start-failure.ts'
import { keptSecret } from '../webhook/secret.ts'

interface Postgres {
  url: string
  /** For the banner: which database, and where its data lies. */
  words: string
  /** Where the embedded one keeps its data. */
  dataDir?: string
  stop: () => Promise<void>
}

/** The process: database, schema, app, port; and on SIGTERM the reverse. */
export async function serve(given: Config): Promise<void> {
  const postgres = await openPostgres(given)
  try {
    const config = await withSecret(given, postgres)
    if (config.ROLLCALL_MIGRATE_ON_START) await bringUpToDate(postgres)
    const app = await buildApp(config, { connectionString: postgres.url })
    for (const sentence of unknownVariables()) app.log.warn(sentence)
    await listen(app, config)
    announceOn(app, postgres)
    closeWithGrace({ delay: false, logger: app.log }, async ({ err, signal }) => {
      if (err) app.log.fatal({ err }, 'An error that nobody caught ends the service.')
      await stop(app, config, signal === 'SIGTERM' ? config.ROLLCALL_DRAIN_SECONDS : 0).finally(
        () => postgres.stop(),
      )
    })
  } catch (error) {
    await postgres.stop()
    throw error
  }
}

/** Webhooks are never unsigned: a service on a Postgres of its own makes a secret, another one has to be given it. */
async function withSecret(config: Config, { dataDir }: Postgres): Promise<Config> {
  if (config.ROLLCALL_WEBHOOK_SECRET.length > 0 || dataDir === undefined) return config
  return { ...config, ROLLCALL_WEBHOOK_SECRET: [await keptSecret(dataDir)] }
}

async function bringUpToDate({ url }: Postgres): Promise<Migrated> {
  try {
    return await migrate(url, { onProgress: sentence => process.stderr.write(`${sentence}\n`) })
  } catch (error) {
    if (error instanceof StartFailure) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new StartFailure(`The schema could not be brought up to date: ${why}.`)
  }
}

/** Readiness red first, waits answered early, requests in flight finished, idle sockets closed, all within a deadline. */
async function stop(app: FastifyInstance, config: Config, drainSeconds: number): Promise<void> {
  app.readiness.drain()
  await pause(drainSeconds * 1000)
  const idle = app.readiness.refuse()
  const closed = app.close()
  await Promise.race([
    idle,
    pause(config.ROLLCALL_SHUTDOWN_SECONDS * 1000, undefined, { ref: false }),
  ])
  // Node counts a socket that has sent nothing as busy, and would wait for it.
  app.server.closeAllConnections()
  await closed
}

async function openPostgres(config: Config): Promise<Postgres> {
  const url = config.DATABASE_URL
  if (url !== undefined) {
    await reach(url)
    return {
      url,
      words: `your Postgres at ${String(shown(config)['DATABASE_URL'])}`,
      stop: async () => undefined,
    }
  }
  // Loaded only here, so that with DATABASE_URL nothing of it is.
  const { startEmbedded } = await import('../database/embedded.ts')
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
    // A name with several addresses fails with one error for each, and no message of its own.
    const [first = error] = error instanceof AggregateError ? (error.errors as unknown[]) : []
    const why = first instanceof Error ? first.message : 'no reason given'
    throw new StartFailure(
      `DATABASE_URL cannot be reached: ${database} at ${host}:${port} (${why}). Start that server or correct the URL; without DATABASE_URL Rollcall starts its own Postgres.`,
    )
  }
}

async function listen(app: FastifyInstance, { HOST: host, PORT: port }: Config): Promise<void> {
  try {
    await app.listen({
      host,
      port,
      // Fastify would log it, for each address; the banner tells it once.
      listenTextResolver: () => '',
    })
  } catch (error) {
    await app.close()
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EADDRINUSE') {
      throw new StartFailure(
        `PORT ${port} is taken on ${host}. Stop what listens there, or set PORT to another one.`,
      )
    }
    if (code === 'EACCES') {
      throw new StartFailure(
        `PORT ${port} may not be opened by this user. Set PORT to one above 1023.`,
      )
    }
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
      throw new StartFailure(
        `HOST ${host} is no address of this machine. Set HOST to one that is, or to 0.0.0.0 for all.`,
      )
    }
    throw error
  }
}

/** The banner is for people, on stderr, so that a pipe gets JSON lines only. */
function announceOn(app: FastifyInstance, { words }: Postgres): void {
  const { address, port } = app.server.address() as AddressInfo
  const url = baseUrl(address, port)
  process.stderr.write(
    [
      '',
      `Rollcall serves on ${words}.`,
      `  API     ${url}/executions`,
      `  Docs    ${url}/docs`,
      `  Health  ${url}/health`,
      '  Stop    Ctrl-C; what was acknowledged stays.',
      'Claim a batch, and once more to see what a redelivery gets:',
      `  curl -X POST ${url}/executions/hello/batches/0/claim`,
      '',
      '',
    ].join('\n'),
  )
}

/** `rollcall migrate`: the schema alone, and what was done to it; 1 when this build may not run on it. */
export async function migrateOnly(config: Config): Promise<number> {
  const postgres = await openPostgres(config)
  try {
    const { applied, ...standing } = await bringUpToDate(postgres)
    const files = applied.length === 0 ? 'nothing to run' : `ran ${applied.join(', ')}`
    const wrong = wrongWithStanding(standing)
    const ahead = standing.version > standing.newest
    const words = ahead ? `, ahead of ${standing.newest}, which may still run on it` : ''
    process.stdout.write(
      `${wrong ?? `The schema is at version ${standing.version}${words}: ${files}.`}\n`,
    )
    return wrong === undefined ? 0 : 1
  } finally {
    await postgres.stop()
  }
}
