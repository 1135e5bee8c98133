import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The user that the server runs as, because Postgres refuses root. Empty: our own user. */
export type Account = { uid: number; gid: number } | Record<string, never>

const NOBODY = { uid: 65_534, gid: 65_534 }

/**
 * The variables that Postgres needs: programs, the time zone, libraries in other places, and the folders of Windows.
 * All others stay here, because other processes of the account can read a server's environment.
 */
const PASSED_ON = ['PATH', 'TZ', 'LD_LIBRARY_PATH', 'SystemRoot', 'TEMP', 'TMP']

/** Drops what pg would add to a URL: variables meant for a server that is not ours, such as options, TLS and replication. */
export function dropPgVariables(): void {
  for (const name of Object.keys(process.env)) if (/^PG[A-Z]/.test(name)) delete process.env[name]
}

export function serverAccount(): Account {
  return process.getuid?.() === 0 ? NOBODY : {}
}

/** The users that may own files in a folder of the account. */
export function ownersOf({ uid }: Account): number[] {
  const ourselves = process.geteuid?.() ?? 0
  return uid === undefined ? [ourselves] : [ourselves, uid]
}

/** The options of a child process: a folder that its account can enter, and messages in English. */
export function asAccount(account: Account) {
  const passedOn = PASSED_ON.flatMap(name => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value]]
  })
  return {
    ...account,
    cwd: '/',
    env: { ...Object.fromEntries(passedOn), LC_ALL: 'C' },
    windowsHide: true,
  }
}

export async function run(account: Account, file: string, args: string[]): Promise<void> {
  await promisify(execFile)(file, args, asAccount(account))
}
