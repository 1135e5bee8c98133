import { execFile } from 'node:child_process'
import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { openDataFolder } from '../../src/database/embedded/folder.ts'
import { StartFailure } from '../../src/start-failure.ts'
import { keptSecret } from '../../src/webhook/secret.ts'
import { temporaryFolder } from '../fixtures/services.ts'

const STRANGER = 1000
const asRoot = process.getuid?.() === 0
const skip = !asRoot && 'only root gives files away'
const TARGET = 'of root, and of nobody else\n'

t.test('a data folder is closed to others, whatever the umask', async t => {
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  const parent = await temporaryFolder(t)
  const { root } = await openDataFolder(join(parent, 'deep', 'data'))
  // The account of root's server has to pass through.
  const closed = asRoot ? 0o710 : 0o700
  t.equal(await modeOf(root), closed)
  t.equal((await modeOf(dirname(root))) & 0o022, 0)
  await keptSecret(root)
  t.equal(await modeOf(join(root, 'webhook-secret')), 0o600)
  t.equal(await modeOf(join(root, 'postgres.log')), 0o600)
  t.equal(await modeOf(join(root, 'socket')), 0o700)

  await chmod(root, 0o777)
  await openDataFolder(root)
  t.equal(await modeOf(root), closed, 'one that an older version left open is closed')
})

t.test(
  'a folder with other things in it keeps its mode, and is refused where all may write',
  async t => {
    const shared = await temporaryFolder(t)
    await writeFile(join(shared, 'summer.jpg'), '')
    await openDataFolder(shared)
    t.equal(await modeOf(shared), 0o755)
    await chmod(shared, 0o1777)
    t.equal(
      await refusal(shared),
      `Every user may write into the data folder ${shared}: set ROLLCALL_DATA_DIR to a folder inside it, which Rollcall makes for itself.`,
    )
    await openDataFolder(join(shared, 'data'))
  },
)

t.test('root uses no folder of another user, and follows nothing there', { skip }, async t => {
  const dataDir = join(await temporaryFolder(t), 'data')
  await mkdir(dataDir)
  const target = await plant(t, join(dataDir, 'postgres.log'))
  await chown(dataDir, STRANGER, STRANGER)
  t.equal(
    await refusal(dataDir),
    `Root does not use the data folder ${dataDir}, because ${dataDir} belongs to the user 1000: run Rollcall as the owner of the folder, or set ROLLCALL_DATA_DIR to one that only root can change.`,
  )
  t.equal(await readFile(target, 'utf8'), TARGET)
  t.strictSame(await readdir(dataDir), ['postgres.log'])
})

t.test('root uses no folder that another user could put another one for', { skip }, async t => {
  const home = await temporaryFolder(t)
  const dataDir = join(home, 'data')
  await mkdir(dataDir)

  t.test('where the user owns what it is in', async t => {
    await chown(home, STRANGER, STRANGER)
    t.teardown(() => chown(home, 0, 0))
    t.match(await refusal(dataDir), `because ${home} belongs to the user 1000: `)
    t.strictSame(await readdir(dataDir), [])
  })

  t.test('where all may change what it is in', async t => {
    await chmod(home, 0o777)
    t.teardown(() => chmod(home, 0o755))
    t.match(await refusal(dataDir), `because other users may change ${home}: `)
  })

  t.test('where the user made the link to it', async t => {
    const link = join(await temporaryFolder(t), 'link')
    await symlink(dataDir, link)
    await lchown(link, STRANGER, STRANGER)
    t.match(await refusal(link), `because ${link} belongs to the user 1000: `)
    t.match(await refusal(join(link, 'inside')), /^no refusal: \/var\/lib\/rollcall\/[0-9a-f]{12}$/)
    t.strictSame(await readdir(dataDir), [])
  })

  t.test('where there is none yet, it has one of its own', async t => {
    await chown(home, STRANGER, STRANGER)
    t.teardown(() => chown(home, 0, 0))
    t.match(await refusal(join(home, 'new')), /^no refusal: \/var\/lib\/rollcall\/[0-9a-f]{12}$/)
    t.strictSame(await readdir(home), ['data'])
  })
})

t.test('what others put into a data folder is refused, and not followed', { skip }, async t => {
  for (const name of ['postgres.log', 'postgres', 'socket', 'webhook-secret', 'pg_hba.conf']) {
    t.test(name, async t => {
      const dataDir = await temporaryFolder(t)
      const target = await plant(t, join(dataDir, name))
      t.equal(await refusal(dataDir), `${join(dataDir, name)} belongs to the user 1000: remove it.`)
      t.equal(await readFile(target, 'utf8'), TARGET)
      t.strictSame(await readdir(dataDir), [name])
    })
  }

  t.test('of the account of the server there are only folders', async t => {
    const dataDir = await temporaryFolder(t)
    await plant(t, join(dataDir, 'postgres.log'), 65_534)
    t.match(await refusal(dataDir), 'postgres.log belongs to the user 65534: remove it.')
  })
})

t.test('a link of our own is not followed either', async t => {
  const dataDir = await temporaryFolder(t)
  const target = join(await temporaryFolder(t), 'target')
  await writeFile(target, TARGET)
  for (const name of ['postgres.log', 'webhook-secret']) {
    await symlink(target, join(dataDir, name))
    const open = async () => {
      await (name === 'postgres.log' ? openDataFolder(dataDir) : keptSecret(dataDir))
    }
    await t.rejects(open(), {
      message: `${join(dataDir, name)} is a link, or belongs to another user: remove it.`,
    })
    await rm(join(dataDir, name))
  }
  t.equal(await readFile(target, 'utf8'), TARGET)
})

t.test('nobody is waited for at a pipe in the place of a file', async t => {
  const dataDir = await temporaryFolder(t)
  const pipe = join(dataDir, 'webhook-secret')
  await promisify(execFile)('mkfifo', [pipe])
  await t.rejects(keptSecret(dataDir), {
    message: `${pipe} is a link, or belongs to another user: remove it.`,
  })
})

t.test('the folder of a long path has its socket in none of another user', { skip }, async t => {
  const dataDir = join(await temporaryFolder(t), 'long'.repeat(30))
  const { socket } = await openDataFolder(dataDir)
  t.teardown(() => rm(socket, { recursive: true, force: true }))
  await rmdir(socket)
  const target = await temporaryFolder(t)
  await symlink(target, socket)
  t.equal(await refusal(dataDir), `The folder ${socket} belongs to somebody else: remove it.`)
  t.equal((await lstat(target)).uid, 0)
  await rm(socket)
  await mkdir(socket)
  await chown(socket, STRANGER, STRANGER)
  t.equal(await refusal(dataDir), `The folder ${socket} belongs to somebody else: remove it.`)
})

/** A link of another user to a file of root; returns that file. */
async function plant(t: Test, link: string, uid = STRANGER): Promise<string> {
  const target = join(await temporaryFolder(t), 'target')
  await writeFile(target, TARGET, { mode: 0o600 })
  await symlink(target, link)
  await lchown(link, uid, uid)
  return target
}

async function refusal(dataDir: string): Promise<string> {
  try {
    const { root } = await openDataFolder(dataDir)
    if (root.startsWith('/var/lib/rollcall/')) {
      await rm(root, { recursive: true })
      await rmdir(dirname(root)).catch(() => undefined)
    }
    return `no refusal: ${root}`
  } catch (error) {
    if (error instanceof StartFailure) return error.message
    throw error
  }
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777
}
