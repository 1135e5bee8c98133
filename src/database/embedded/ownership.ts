import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { StartFailure } from '../../start-failure.ts'
import { type Account, run } from './account.ts'
import { absent, isSystemError } from './system-error.ts'

const EVERYBODY_WRITES = 0o002
const GROUP_WRITES = 0o020
const STICKY = 0o1000

/** The names of everything that Rollcall puts into a data folder, drafts included. */
const OUR_NAMES =
  /^(?:postgres|socket|password|webhook-secret|pg_hba|pg_ident|binaries)(?:[.-].*)?$/

/**
 * Why a user other than root could put another folder in the place of `path`. Node cannot open a file below an open folder,
 * so between a check and its use only the owners and modes of all folders above protect root.
 */
export async function whySwappable(path: string): Promise<string | undefined> {
  const above = dirname(path)
  if (above !== path) {
    const reason = (await whySwappable(above)) ?? (await whyShared(above))
    if (reason !== undefined) return reason
  }
  const entry = await fs.lstat(path).catch(absent)
  if (entry === undefined) return undefined
  if (entry.uid !== 0) return `${path} belongs to the user ${entry.uid}`
  if (!entry.isSymbolicLink()) return undefined
  return whySwappable(resolve(await fs.realpath(above), await fs.readlink(path)))
}

/** In a sticky folder others can add names, but not change the ones that are there. */
async function whyShared(path: string): Promise<string | undefined> {
  const folder = await fs.stat(path).catch(absent)
  if (folder === undefined || (folder.mode & STICKY) !== 0) return undefined
  return isWritable(folder) ? `other users may change ${path}` : undefined
}

function isWritable({ mode, gid }: { mode: number; gid: number }): boolean {
  return (mode & EVERYBODY_WRITES) !== 0 || ((mode & GROUP_WRITES) !== 0 && gid !== 0)
}

/**
 * Closes a data folder, whatever the umask was when it was made: the account of root's server may pass through it, and nobody
 * else may. A folder that holds other things too keeps its mode, and is refused if everybody may write into it.
 */
export async function closeFolder(root: string, account: Account): Promise<void> {
  if (process.platform === 'win32') return
  const names = await fs.readdir(root)
  const ours = names.filter(name => OUR_NAMES.test(name))
  const folder = await fs.open(root, constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    const { uid, mode } = await folder.stat()
    if (uid !== 0 && uid !== process.getuid?.()) {
      throw new StartFailure(
        `The data folder ${root} belongs to the user ${uid}: run Rollcall as that user, or set ROLLCALL_DATA_DIR to a folder of your own.`,
      )
    }
    if (uid === process.getuid?.() && ours.length === names.length) {
      if (account.gid !== undefined) await folder.chown(uid, account.gid)
      await folder.chmod(account.gid === undefined ? 0o700 : 0o710)
    } else if ((mode & EVERYBODY_WRITES) !== 0) {
      throw new StartFailure(
        `Every user may write into the data folder ${root}: set ROLLCALL_DATA_DIR to a folder inside it, which Rollcall makes for itself.`,
      )
    }
  } finally {
    await folder.close()
  }
  for (const name of ours) {
    await refuseForeign(join(root, name), account)
  }
}

/** A foreign entry may date from a time when others could write into the folder. The account itself owns only folders here. */
async function refuseForeign(path: string, account: Account): Promise<void> {
  const entry = await fs.lstat(path).catch(absent)
  if (entry === undefined || entry.uid === 0 || entry.uid === process.getuid?.()) return
  if (entry.uid === account.uid && entry.isDirectory()) return
  throw new StartFailure(`${path} belongs to the user ${entry.uid}: remove it.`)
}

/** A folder of the account that nobody else can enter. It is changed by its handle, so that no link is followed. */
export async function makePrivate(path: string, { uid, gid }: Account): Promise<string> {
  await fs.mkdir(path, { recursive: true, mode: 0o700 })
  if (process.platform === 'win32') return path
  const foreign = new StartFailure(`The folder ${path} belongs to somebody else: remove it.`)
  const folder = await fs
    .open(path, constants.O_DIRECTORY | constants.O_NOFOLLOW)
    .catch((error: unknown) => {
      throw isSystemError(error, 'ELOOP', 'EMLINK', 'ENOTDIR') ? foreign : error
    })
  try {
    const { uid: owner } = await folder.stat()
    if (owner !== process.getuid?.() && owner !== uid) throw foreign
    await folder.chmod(0o700)
    if (uid !== undefined) await folder.chown(uid, gid)
    return path
  } finally {
    await folder.close()
  }
}

/**
 * Root removes nothing inside a folder of the account: a process of the account could put a link in the place of a folder
 * meanwhile. The account empties its folder, and root removes the empty one.
 */
export async function removeFolder(path: string): Promise<void> {
  const entry = await fs.lstat(path).catch(absent)
  if (entry === undefined) return
  const { uid, gid } = entry
  if (process.getuid?.() !== 0 || uid === 0) {
    await fs.rm(path, { recursive: true, force: true })
    return
  }
  await run({ uid, gid }, 'find', [path, '-mindepth', '1', '-delete'])
  await fs.rmdir(path)
}
