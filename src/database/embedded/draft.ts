import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Account } from './account.ts'
import { makePrivate, removeFolder } from './ownership.ts'
import { absent, isSystemError } from './system-error.ts'

/** Far longer than initdb or a copy takes, so that a draft that another service is filling stays. */
const DRAFT_IS_STALE_AFTER_MS = 600_000

/**
 * Fills a folder beside `target` and moves it there whole, so that a kill at any moment leaves
 * either nothing or all of it. If two services do this at once, the first wins, and both go on.
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
    await removeFolder(draft)
  }
  // The files are durable only once the names of the folders above them are.
  await syncFolder(dirname(target))
  await syncFolder(dirname(dirname(target)))
}

/** Writes a file that the account can read but not change. It is there whole or not at all, and no link is followed. */
export async function writeWhole(path: string, text: string, { gid }: Account): Promise<void> {
  const draft = `${path}.draft-${randomUUID()}`
  const file = await fs.open(draft, 'wx', 0o600)
  try {
    await file.writeFile(text)
    if (gid !== undefined) {
      await file.chown(0, gid)
      await file.chmod(0o640)
    }
  } finally {
    await file.close()
  }
  await fs.rename(draft, path)
}

/** Removes the drafts of a start that was killed. */
export async function sweepDrafts(root: string): Promise<void> {
  const names = (await fs.readdir(root)).filter(name => name.includes('.draft-'))
  await Promise.all(
    names.map(async name => {
      const draft = await fs.lstat(join(root, name)).catch(absent)
      if (draft === undefined) return
      // A draft from the future was made before the clock was set back.
      if (Math.abs(Date.now() - draft.mtimeMs) < DRAFT_IS_STALE_AFTER_MS) return
      await removeFolder(join(root, name))
    }),
  )
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await fs.open(path)
  await folder.sync().finally(() => folder.close())
}
