import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { Client } from 'pg'
import { StartFailure } from '../../start-failure.ts'
import { writeWhole } from './draft.ts'
import type { DataFolder } from './folder.ts'
import { isSystemError } from './system-error.ts'

/**
 * How an embedded server listens, and which user it lets in. It has a unix socket in a private
 * folder, and nothing on the network. The kernel names the user that connects, and only the user
 * that runs the service is let in: not even another process of the server's own account. Windows,
 * where pg has no unix sockets, gets loopback, a port that is free at the moment, and a password
 * kept in the data folder.
 */
const overLoopback = process.platform === 'win32'

export async function initdbArguments(folder: DataFolder): Promise<string[]> {
  // The rules inside the cluster are never read, so they reject everybody.
  if (!overLoopback) return ['--auth=reject']
  await writeFile(passwordFile(folder), randomBytes(24).toString('hex'), {
    flag: 'wx',
    mode: 0o600,
  }).catch((error: unknown) => {
    if (!isSystemError(error, 'EEXIST')) throw error
  })
  return ['--auth=scram-sha-256', `--pwfile=${passwordFile(folder)}`]
}

export async function serverArguments(folder: DataFolder): Promise<string[]> {
  if (!overLoopback) {
    await writeRules(folder)
    const settings = [
      'listen_addresses=',
      `hba_file=${rulesFile(folder)}`,
      `ident_file=${usersFile(folder)}`,
    ]
    return ['-k', folder.socket, '-p', '5432', ...settings.flatMap(setting => ['-c', setting])]
  }
  return ['-p', String(await freePort()), '-c', 'listen_addresses=127.0.0.1']
}

/** False for a server that an older Rollcall started: it lets in every process that reaches the socket. */
export async function hasOurRules(client: Client, folder: DataFolder): Promise<boolean> {
  if (overLoopback) return true
  const { rows } = await client.query<{ hba_file: string }>('show hba_file')
  return rows[0]?.hba_file === rulesFile(folder)
}

/** Into the data folder and not into the cluster, where the account could change the files or replace them by links. */
async function writeRules(folder: DataFolder): Promise<void> {
  const note = '# Written by Rollcall at each start of Postgres; changes made here are lost.'
  const rules = `${note}\nlocal all postgres peer map=rollcall\n`
  const users = `${note}\nrollcall "${ownName()}" postgres\n`
  await writeWhole(usersFile(folder), users, folder.account)
  await writeWhole(rulesFile(folder), rules, folder.account)
}

function ownName(): string {
  try {
    return userInfo().username
  } catch {
    throw new StartFailure(
      `The user ${process.getuid?.()} has no name on this machine, and Postgres needs one: add a line for it to /etc/passwd, or set DATABASE_URL.`,
    )
  }
}

/** The `DATABASE_URL` of this server. */
export async function urlOf(folder: DataFolder, database: string): Promise<string> {
  if (!overLoopback) {
    const host = encodeURIComponent(folder.socket)
    return `postgres://postgres@/${database}?host=${host}&port=5432&sslmode=disable`
  }
  const password = await readFile(passwordFile(folder), 'utf8')
  const [, , , port] = (await readFile(pidFile(folder), 'utf8')).split('\n')
  return `postgres://postgres:${password}@127.0.0.1:${port}/${database}?sslmode=disable`
}

/** Postgres keeps this file while it runs: its process id, folder, start time, port … one a line. */
export function pidFile({ cluster }: DataFolder): string {
  return join(cluster, 'postmaster.pid')
}

function rulesFile({ root }: DataFolder): string {
  return join(root, 'pg_hba.conf')
}

function usersFile({ root }: DataFolder): string {
  return join(root, 'pg_ident.conf')
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
