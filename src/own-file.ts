import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { StartFailure } from './start-failure.ts'

/** The owners whose files this process takes for its own. Windows has no such numbers. */
const ourselves = [process.geteuid?.() ?? 0]

/**
 * Opens a plain file of one of the `owners`, or makes one that only its owner may read. A file or link of anybody else is
 * refused: a link could lead this process, which may be root, to any file. Opening a pipe does not wait for its other end.
 */
export async function openOwn(
  path: string,
  flags: number,
  owners: readonly number[] = ourselves,
): Promise<FileHandle> {
  // On Windows both constants are undefined, which counts as 0.
  const unfollowed = flags | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(path, unfollowed, 0o600).catch((error: NodeJS.ErrnoException) => {
    throw ['ELOOP', 'EMLINK', 'ENXIO'].includes(error.code ?? '') ? foreign(path) : error
  })
  const entry = await file.stat()
  if (entry.isFile() && owners.includes(entry.uid)) return file
  await file.close()
  throw foreign(path)
}

export async function readOwn(path: string, owners = ourselves): Promise<string> {
  const file = await openOwn(path, constants.O_RDONLY, owners)
  return file.readFile('utf8').finally(() => file.close())
}

function foreign(path: string): StartFailure {
  return new StartFailure(`${path} is a link, or belongs to another user: remove it.`)
}
