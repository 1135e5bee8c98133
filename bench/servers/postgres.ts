import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { startEmbedded } from '../../src/database/embedded.ts'
import { pidFile } from '../../src/database/embedded/address.ts'
import { packagedBinaries } from '../../src/database/embedded/binaries.ts'
import { openDataFolder } from '../../src/database/embedded/folder.ts'
import { shutDown } from '../../src/database/embedded/server.ts'
import type { Scope } from '../measure/scope.ts'
import { cpuSecondsOf } from './child.ts'

/** Production settings, except the number of connections: the old statements take 64 and pgbench as many. */
const SETTINGS = { max_connections: '400' }

/**
 * A Postgres of the bench's own, from the binaries that the service brings, with every default of durability: fsync,
 * full_page_writes and synchronous_commit are on.
 */
export class Postgres {
  /** The process id of the server itself. */
  readonly pid: number
  readonly #url: string
  readonly #client: Client
  #databases = 0

  constructor(pid: number, url: string, client: Client) {
    this.pid = pid
    this.#url = url
    this.#client = client
  }

  static async start(scope: Scope, settings: Record<string, string> = {}): Promise<Postgres> {
    const dataDir = await mkdtemp(join(tmpdir(), 'rollcall-bench-'))
    // If root starts the server, it runs as another user, which must be able to enter the folder.
    await chmod(dataDir, 0o755)
    scope.onEnd(() => remove(dataDir))
    const embedded = await startEmbedded({ dataDir, settings: { ...SETTINGS, ...settings } })
    scope.onEnd(() => embedded.stop())
    const client = new Client({ connectionString: embedded.url })
    client.on('error', () => undefined)
    await client.connect()
    scope.onEnd(() => client.end())
    const pid = Number.parseInt(await readFile(pidFile(await openDataFolder(dataDir)), 'utf8'), 10)
    return new Postgres(pid, embedded.url, client)
  }

  /** A new empty database, as a URL. */
  async database(): Promise<string> {
    this.#databases += 1
    const name = `bench_${this.#databases}`
    await this.#client.query(`create database ${name}`)
    return this.#url.replace('/rollcall?', `/${name}?`)
  }

  /** The number of bytes that the write-ahead log has reached. */
  async walBytes(): Promise<number> {
    const { rows } = await this.#client.query<{ bytes: string }>(
      `select pg_current_wal_insert_lsn() - '0/0' as bytes`,
    )
    return Number(rows[0]?.bytes)
  }

  /** Stops every process of the server for a while, like a machine that hangs. */
  async freeze(): Promise<() => void> {
    const pids = await this.#pids()
    const signal = (name: 'SIGSTOP' | 'SIGCONT') => {
      for (const pid of pids) process.kill(pid, name)
    }
    signal('SIGSTOP')
    let isFrozen = true
    return () => {
      if (isFrozen) signal('SIGCONT')
      isFrozen = false
    }
  }

  /** The processor time of all its processes so far, including those that are gone. */
  async cpuSeconds(): Promise<number> {
    const used = await Promise.all((await this.#pids()).map(cpuSecondsOf))
    return used.reduce((sum, seconds) => sum + seconds, 0)
  }

  async #pids(): Promise<number[]> {
    const children = await readFile(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8')
    return [this.pid, ...children.trim().split(' ').map(Number)]
  }
}

/** The version of the binaries that npm installed. */
export function postgresVersion(): string {
  const manifest = readFileSync(join(packagedBinaries(), 'package.json'), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

/** One connection to a database of the bench, for as long as `work` takes. */
export async function connected<Result>(
  url: string,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Stops the server, even if clients are still connected, and removes all its files. */
async function remove(dataDir: string): Promise<void> {
  const folder = await openDataFolder(dataDir)
  // The server has already stopped if no client was connected any more.
  await shutDown(folder, {}).catch(() => undefined)
  await rm(folder.socket, { recursive: true, force: true })
  await rm(folder.root, { recursive: true, force: true })
  if (folder.root !== dataDir) await rm(dataDir, { recursive: true, force: true })
}
