import { createHash } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { StartFailure } from '../../start-failure.ts'

/** Whom the server runs as: Postgres refuses root. Empty means as ourselves. */
export type Account = { uid: number; gid: number } | Record<string, never>

/** Where everything of one embedded server lives, checked and ready for its account. */
export interface DataFolder {
  root: string
  /** What Postgres calls its data directory. It is moved here when it is whole, never before. */
  cluster: string
  /** The folder of the unix socket, open to the account alone: who can connect is a superuser. */
  socket: string
  log: string
  account: Account
}

const MAJOR = '18'

const NOBODY = { uid: 65_534, gid: 65_534 }

/** `sun_path` holds 108 bytes on Linux and 104 on macOS, the closing zero included. */
const LONGEST_SOCKET_PATH_BYTES = 103

/** Far longer than initdb or a copy takes, so that what another service is still making stays. */
const DRAFT_IS_STALE_AFTER_MS = 600_000

/**
 * Checks and prepares the folder that was asked for. Root cannot run Postgres, so for root the
 * server runs as the folder's owner or, if that is root too, as nobody. Where that account cannot
 * enter (below /root, say), the folder is /var/lib/rollcall/<hash of the path asked for> instead.
 */
export async function openDataFolder(wanted: string): Promise<DataFolder> {
  const path = resolve(wanted)
  try {
    const asRoot = process.getuid?.() === 0
    const account = asRoot ? await ownerOrNobody(path) : {}
    const enterable = account.uid === undefined || (await canEnter(account.uid, path))
    const root = await makeFolder(enterable ? path : join('/var/lib/rollcall', hash(path)))

    const cluster = join(root, 'postgres')
    await checkCluster(cluster)
    await sweepDrafts(root)
    const log = join(root, 'postgres.log')
    await (await fs.open(log, 'a', 0o600)).close()
    const socket = await makePrivate(socketFolder(root), account)
    return { root, cluster, socket, log, account }
  } catch (error) {
    if (!isSystemError(error)) throw error
    throw new StartFailure(
      `The data folder ${path} cannot be used (${error.message}): make it readable and writable for this user, set ROLLCALL_DATA_DIR to another folder, or set DATABASE_URL.`,
    )
  }
}

export async function exists(path: string): Promise<boolean> {
  return (await fs.stat(path).catch(absent)) !== undefined
}

/**
 * Fills a folder beside `target` and moves it there whole, so that a kill at any moment leaves
 * either nothing or all of it. Of two services doing this at once the first wins, and both go on.
 */
export async function makeWhole(
  target: string,
  account: Account,
  fill: (draft: string) => Promise<void>,
): Promise<void> {
  const draft = await fs.mkdtemp(`${target}.draft-`)
  try {
    await makePrivate(draft, account)
    await fill(draft)
    await fs.rename(draft, target).catch((error: unknown) => {
      if (!isSystemError(error, 'ENOTEMPTY', 'EEXIST')) throw error
    })
  } finally {
    await fs.rm(draft, { recursive: true, force: true })
  }
  // A write is only as durable as the names on the way to it.
  await syncFolder(dirname(target))
  await syncFolder(dirname(dirname(target)))
}

export function isSystemError(error: unknown, ...codes: string[]): error is NodeJS.ErrnoException {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return false
  return codes.length === 0 || codes.includes(String(error.code))
}

async function ownerOrNobody(path: string): Promise<Account> {
  const owner = await fs.stat(path).catch(absent)
  return owner === undefined || owner.uid === 0 ? NOBODY : { uid: owner.uid, gid: owner.gid }
}

/** Reads the mode bits, because root itself may enter everything. */
async function canEnter(uid: number, path: string): Promise<boolean> {
  const real = await fs.realpath(path).catch(absent)
  if (real === undefined) return canEnter(uid, dirname(path))
  const folder = await fs.stat(real)
  const bit = folder.uid === uid ? 0o100 : 0o001
  if ((folder.mode & bit) === 0) return false
  return real === dirname(real) || canEnter(uid, dirname(real))
}

/** Folders made on the way stay open to the account that runs the server, whatever the umask. */
async function makeFolder(path: string): Promise<string> {
  const first = await fs.mkdir(path, { recursive: true })
  if (first !== undefined && process.getuid?.() === 0) {
    for (let made = path; made.length >= first.length; made = dirname(made)) {
      await fs.chmod(made, 0o755)
    }
  }
  return fs.realpath(path)
}

async function checkCluster(cluster: string): Promise<void> {
  const version = (await fs.readFile(join(cluster, 'PG_VERSION'), 'utf8').catch(absent))?.trim()
  const entries = version === undefined ? await fs.readdir(cluster).catch(absent) : undefined
  if (entries !== undefined && entries.length > 0) {
    throw new StartFailure(
      `The folder ${cluster} is not a Postgres cluster (it has no PG_VERSION): move it away, or set ROLLCALL_DATA_DIR to another folder.`,
    )
  }
  if (version !== undefined && version !== MAJOR) {
    throw new StartFailure(
      `The folder ${cluster} belongs to Postgres ${version}, and Rollcall brings Postgres ${MAJOR}: dump it with Postgres ${version} and restore it, or set ROLLCALL_DATA_DIR to another folder.`,
    )
  }
}

/** Removes what a killed start left half made. */
async function sweepDrafts(root: string): Promise<void> {
  const names = (await fs.readdir(root)).filter(name => name.includes('.draft-'))
  await Promise.all(
    names.map(async name => {
      const draft = await fs.stat(join(root, name))
      if (Date.now() - draft.mtimeMs < DRAFT_IS_STALE_AFTER_MS) return
      await fs.rm(join(root, name), { recursive: true, force: true })
    }),
  )
}

/** Not os.tmpdir(): TMPDIR may differ at the next start, which must find this server again. */
function socketFolder(root: string): string {
  const inside = join(root, 'socket')
  const fits = Buffer.byteLength(join(inside, '.s.PGSQL.5432')) <= LONGEST_SOCKET_PATH_BYTES
  return fits || process.platform === 'win32' ? inside : join('/tmp', `rollcall-${hash(root)}`)
}

async function makePrivate(path: string, { uid, gid }: Account): Promise<string> {
  await fs.mkdir(path, { recursive: true })
  const folder = await fs.lstat(path)
  const ours =
    folder.uid === process.getuid?.() || folder.uid === uid || process.platform === 'win32'
  if (!folder.isDirectory() || !ours) {
    throw new StartFailure(`The folder ${path} belongs to somebody else: remove it.`)
  }
  await fs.chmod(path, 0o700)
  if (uid !== undefined) await fs.chown(path, uid, gid)
  return path
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await fs.open(path)
  await folder.sync().finally(() => folder.close())
}

function hash(path: string): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 12)
}

function absent(error: unknown): undefined {
  if (!isSystemError(error, 'ENOENT')) throw error
}
