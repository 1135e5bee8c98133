import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type DataFolder, isSystemError } from './folder.ts'

/**
 * How an embedded server listens. A unix socket in a private folder needs no password and nothing
 * on the network. Windows, where pg has no unix sockets, gets loopback, a port that is free at the
 * moment, and a password kept in the data folder.
 */
const overLoopback = process.platform === 'win32'

export async function initdbArguments(folder: DataFolder): Promise<string[]> {
  if (!overLoopback) return ['--auth=trust']
  await writeFile(passwordFile(folder), randomBytes(24).toString('hex'), { flag: 'wx' }).catch(
    (error: unknown) => {
      if (!isSystemError(error, 'EEXIST')) throw error
    },
  )
  return ['--auth=scram-sha-256', `--pwfile=${passwordFile(folder)}`]
}

export async function serverArguments({ socket }: DataFolder): Promise<string[]> {
  if (!overLoopback) return ['-k', socket, '-p', '5432', '-c', 'listen_addresses=']
  return ['-p', String(await freePort()), '-c', 'listen_addresses=127.0.0.1']
}

/** What `DATABASE_URL` would be for this server. */
export async function urlOf(folder: DataFolder, database: string): Promise<string> {
  if (!overLoopback) {
    const host = encodeURIComponent(folder.socket)
    return `postgres://postgres@/${database}?host=${host}&port=5432&sslmode=disable`
  }
  const password = await readFile(passwordFile(folder), 'utf8')
  const [, , , port] = (await readFile(pidFile(folder), 'utf8')).split('\n')
  return `postgres://postgres:${password}@127.0.0.1:${port}/${database}?sslmode=disable`
}

/** Written by Postgres while it runs: its process id, folder, start time, port … one a line. */
export function pidFile({ cluster }: DataFolder): string {
  return join(cluster, 'postmaster.pid')
}

function passwordFile({ root }: DataFolder): string {
  return join(root, 'password')
}

function freePort(): Promise<number> {
  return new Promise((settle, fail) => {
    const probe = createServer()
    probe.once('error', fail)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => {
        settle(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  })
}
