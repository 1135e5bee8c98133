import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { openOwn, readOwn } from '../../own-file.ts'
import { StartFailure } from '../../start-failure.ts'
import { type Account, ownersOf, serverAccount } from './account.ts'
import { sweepDrafts } from './draft.ts'
import { closeFolder, makePrivate, whySwappable } from './ownership.ts'
import { absent, isSystemError } from './system-error.ts'

/** Where everything of one embedded server lives, checked and ready for its account. */
export interface DataFolder {
  root: string
  /** The data directory of Postgres. It is moved here when it is whole, never before. */
  cluster: string
  /** The folder of the unix socket, open to the account alone. */
  socket: string
  log: string
  account: Account
}

const MAJOR = '18'

/** `sun_path` holds 108 bytes on Linux and 104 on macOS, the closing zero included. */
const LONGEST_SOCKET_PATH_BYTES = 103

/**
 * Checks and prepares the folder that was asked for. Root cannot run Postgres, so for root the
 * server runs as nobody, in a folder that belongs to root. Root neither follows nor writes anything
 * that another user could change.
 */
export async function openDataFolder(wanted: string): Promise<DataFolder> {
  const path = resolve(wanted)
  try {
    const account = serverAccount()
    const root = await makeFolder(await placeOf(path, account), account)

    const cluster = join(root, 'postgres')
    await checkCluster(cluster, account)
    await sweepDrafts(root)
    const log = join(root, 'postgres.log')
    await (await openLog(log)).close()
    const socket = await makePrivate(socketFolder(root), account)
    return { root, cluster, socket, log, account }
  } catch (error) {
    if (!isSystemError(error)) throw error
    throw new StartFailure(
      `The data folder ${path} cannot be used (${error.message}): make it readable and writable for this user, set ROLLCALL_DATA_DIR to another folder, or set DATABASE_URL.`,
    )
  }
}

/** We open the log ourselves: the server gets the open file, and cannot put another one in its place. */
export function openLog(path: string): Promise<fs.FileHandle> {
  return openOwn(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT)
}

export async function exists(path: string): Promise<boolean> {
  return (await fs.stat(path).catch(absent)) !== undefined
}

/**
 * Root gets /var/lib/rollcall/<hash of the path asked for> if the account could not enter the
 * folder (below /root, say), or if the folder is not there yet and others could replace it.
 */
async function placeOf(path: string, account: Account): Promise<string> {
  if (account.uid === undefined) return path
  const reason = await whySwappable(path)
  if (reason !== undefined && (await exists(path))) throw unsafe(path, reason)
  const isUsable = reason === undefined && (await canEnter(account, path))
  return isUsable ? path : join('/var/lib/rollcall', hash(path))
}

function unsafe(path: string, reason: string): StartFailure {
  return new StartFailure(
    `Root does not use the data folder ${path}, because ${reason}: run Rollcall as the owner of the folder, or set ROLLCALL_DATA_DIR to one that only root can change.`,
  )
}

/** Reads the mode bits, because root itself may enter everything. */
async function canEnter(account: Account, path: string): Promise<boolean> {
  const real = await fs.realpath(path).catch(absent)
  if (real === undefined) return canEnter(account, dirname(path))
  const { uid, gid, mode } = await fs.stat(real)
  const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
  if ((mode & bit) === 0) return false
  return real === dirname(real) || canEnter(account, dirname(real))
}

/** The account that runs the server can enter all folders made on the way, whatever the umask. */
async function makeFolder(path: string, account: Account): Promise<string> {
  const first = await fs.mkdir(path, { recursive: true, mode: 0o700 })
  if (first !== undefined && account.uid !== undefined) {
    for (let made = path; made.length >= first.length; made = dirname(made)) {
      await fs.chmod(made, 0o755)
    }
  }
  const root = await fs.realpath(path)
  const reason = account.uid === undefined ? undefined : await whySwappable(root)
  if (reason !== undefined) throw unsafe(root, reason)
  await closeFolder(root, account)
  return root
}

async function checkCluster(cluster: string, account: Account): Promise<void> {
  const written = await readOwn(join(cluster, 'PG_VERSION'), ownersOf(account)).catch(absent)
  const version = written?.trim()
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

/** Not os.tmpdir(): TMPDIR may differ at the next start, which must find this server again. */
function socketFolder(root: string): string {
  const inside = join(root, 'socket')
  const fits = Buffer.byteLength(join(inside, '.s.PGSQL.5432')) <= LONGEST_SOCKET_PATH_BYTES
  return fits || process.platform === 'win32' ? inside : join('/tmp', `rollcall-${hash(root)}`)
}

function hash(path: string): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 12)
}
