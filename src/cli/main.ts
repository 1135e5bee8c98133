import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { setTimeout as pause } from 'node:timers/promises'
import { buildApp } from '../app.ts'
import { type Config, unknownVariables } from '../config.ts'
import { migrate, type Migrated } from '../database/migrate.ts'
import { wrongWithStanding } from '../database/migrate/standing.ts'
import { openPostgres, type OpenPostgres } from '../database/open.ts'
import { StartFailure } from '../start-failure.ts'
import { keptSecret } from '../webhook/secret.ts'
import { announceOn, listen } from './listening.ts'

/** Starts database, schema, app and port in this order, and stops them in the reverse order on SIGTERM. */
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

/** Callbacks are never unsigned: a service on its own Postgres makes a secret, and any other one needs the setting. */
async function withSecret(config: Config, { dataDir }: OpenPostgres): Promise<Config> {
  if (config.ROLLCALL_WEBHOOK_SECRET.length > 0 || dataDir === undefined) return config
  return { ...config, ROLLCALL_WEBHOOK_SECRET: [await keptSecret(dataDir)] }
}

async function bringUpToDate({ url }: OpenPostgres): Promise<Migrated> {
  try {
    return await migrate(url, { onProgress: sentence => process.stderr.write(`${sentence}\n`) })
  } catch (error) {
    if (error instanceof StartFailure) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new StartFailure(`The schema could not be brought up to date: ${why}.`)
  }
}

/** Turns readiness red first, answers waits early, finishes requests in flight and closes idle sockets, all within a deadline. */
async function stop(app: FastifyInstance, config: Config, drainSeconds: number): Promise<void> {
  app.drain.begin()
  await pause(drainSeconds * 1000)
  const idle = app.drain.refuse()
  const closed = app.close()
  await Promise.race([
    idle,
    pause(config.ROLLCALL_SHUTDOWN_SECONDS * 1000, undefined, { ref: false }),
  ])
  // Node takes a socket that has sent nothing for a busy one, and would wait for it.
  app.server.closeAllConnections()
  await closed
}

/** `rollcall migrate`: migrates the schema and prints its version and the files run. Returns 1 if this build may not run on it. */
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
