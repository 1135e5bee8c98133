import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { settings } from '../../src/config.ts'
import { poll } from '../../src/database/embedded/poll.ts'
import { type Database, freshDatabase } from '../fixtures/database.ts'
import { removeServer } from '../fixtures/server.ts'

const project = join(import.meta.dirname, '..', '..')
const built = await build()
const { version } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8'))

t.test('--help names every command and every setting', async t => {
  const { code, stdout, stderr } = await rollcall('--help')
  t.strictSame([code, stderr], [0, ''])
  const commands = ['serve', 'migrate', 'openapi', 'health', 'config']
  for (const name of commands) t.match(stdout, new RegExp(`^  ${name}\\b`, 'm'))
  for (const { name, description } of settings()) {
    t.match(stdout, new RegExp(`^  ${name} .*${escaped(description)}$`, 'm'))
  }
})

t.test('--version is that of the package', async t => {
  t.strictSame(await rollcall('--version'), { code: 0, stdout: `${version}\n`, stderr: '' })
})

t.test('an option that is none is refused', async t => {
  t.match(await rollcall('serve', '--port', '1'), { code: 1, stderr: /unknown option '--port'/ })
})

t.test('config shows what is in force, and no password', async t => {
  for (const DATABASE_URL of [
    'postgres://user:secret@host/name',
    'postgres://user:se@cret@host/name',
    'postgres://host/name?user=me&password=secret&sslmode=require',
  ]) {
    const { code, stdout } = await rollcall({ DATABASE_URL, PORT: '81', LOG_LEVEL: '' }, 'config')
    t.equal(code, 0)
    t.match(stdout, /^DATABASE_URL=postgres:\/\/.*\bhost\/name/m)
    t.notMatch(stdout, /secret|cret@/)
    t.match(stdout, /^PORT=81$/m)
    t.match(stdout, /^LOG_LEVEL=info$/m)
  }
})

t.test('bad configuration stops the start with the variable, its value and the rule', async t => {
  const wrong = [
    ['PORT', '80a', /digits/],
    ['LOG_LEVEL', 'loud', /"fatal"\|"error"\|"warn"/],
    ['ROLLCALL_PREPARED_STATEMENTS', 'yes', /"true"\|"false"/],
    ['ROLLCALL_POOL_SIZE', '0', /1/],
    ['ROLLCALL_TOTAL_LIMIT', '99999999', /10000000/],
  ] as const
  const environment = Object.fromEntries(wrong.map(([name, value]) => [name, value]))
  const { code, stdout, stderr } = await rollcall(environment, 'serve')
  t.strictSame([code, stdout], [1, ''])
  const sentences = stderr.split('\n')
  t.strictSame(sentences.pop(), '')
  for (const [index, [name, value, rule]] of wrong.entries()) {
    t.match(sentences[index], new RegExp(`^${name} is "${value}", but the rule is: .*\\.$`))
    t.match(sentences[index], rule)
  }
  t.equal(sentences.length, wrong.length)
})

t.test('a DATABASE_URL of another kind is refused without showing it', async t => {
  const { code, stderr } = await rollcall(
    { DATABASE_URL: 'mysql://user:secret@host/name' },
    'serve',
  )
  t.equal(code, 1)
  t.match(stderr, /^DATABASE_URL .*postgres:\/\/\.\n$/)
  t.notMatch(stderr, /secret/)
})

t.test('a DATABASE_URL where nobody answers ends the start with one sentence', async t => {
  const port = await freePort()
  const DATABASE_URL = `postgres://user:secret@127.0.0.1:${port}/name`
  for (const command of ['serve', 'migrate']) {
    const { code, stdout, stderr } = await rollcall({ DATABASE_URL }, command)
    t.strictSame([code, stdout], [1, ''])
    t.match(stderr, new RegExp(`^DATABASE_URL cannot be reached: name at 127.0.0.1:${port} .*\n$`))
    t.notMatch(stderr, /secret/)
  }
})

t.test('a PORT that is taken ends the start with one sentence', async t => {
  const { url } = await freshDatabase(t)
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const PORT = portOf(other)
  const { code, stderr } = await rollcall({ DATABASE_URL: url, PORT, LOG_LEVEL: 'silent' }, 'serve')
  t.equal(code, 1)
  t.match(stderr, new RegExp(`^PORT ${PORT} is taken on 127\\.0\\.0\\.1\\. .*\n$`))
})

t.test('health exits 0 while the service is ready, and 1 with one sentence otherwise', async t => {
  const { url } = await freshDatabase(t)
  const service = await serve(t, { DATABASE_URL: url, ROLLCALL_POOLSIZE: '3', ROLLCALL_XYZ: '1' })
  const { PORT } = service
  const ready = { code: 0, stdout: '{"status":"ready"}\n', stderr: '' }
  t.strictSame(await rollcall({ PORT }, 'health'), ready)
  t.strictSame(await rollcall({ PORT, HOST: '0.0.0.0' }, 'health'), ready)
  t.strictSame(await healthCheck({ PORT }), ready)
  t.strictSame(await healthCheck({ PORT, HOST: '0.0.0.0' }), ready)
  t.equal(await service.stop(), 0)
  const gone = await rollcall({ PORT }, 'health')
  t.strictSame([gone.code, gone.stdout], [1, ''])
  t.match(gone.stderr, new RegExp(`^[^\n]*127\\.0\\.0\\.1:${PORT}[^\n]*\\.\n$`))
  t.strictSame(await healthCheck({ PORT }), gone)

  const warnings = (await service.stdout).match(/Nothing reads [^"]*/g)
  t.strictSame(
    warnings,
    [
      'Nothing reads ROLLCALL_POOLSIZE. Did you mean ROLLCALL_POOL_SIZE?',
      'Nothing reads ROLLCALL_XYZ.',
    ],
    'a variable that nothing reads is a warning with the nearest name',
  )
})

t.test('the start is told once, on stderr: a pipe gets what happens, as JSON lines', async t => {
  const { url } = await freshDatabase(t)
  const ROLLCALL_WEBHOOK_SECRET = `whsec_${Buffer.alloc(32).toString('base64')}`
  const service = await serve(t, { DATABASE_URL: url, ROLLCALL_XYZ: '1', ROLLCALL_WEBHOOK_SECRET })
  const banner = await service.stderr()
  t.equal(banner.split(`Rollcall serves`).length - 1, 1)
  t.match(banner, `${service.url}/executions`)
  t.equal(await service.stop(), 0)
  const lines = (await service.stdout).trimEnd().split('\n')
  const sentences = lines.map(line => (JSON.parse(line) as { msg: string }).msg)
  t.strictSame(sentences, ['Nothing reads ROLLCALL_XYZ.'])
})

t.test('the health check of the image judges its variables and reaches IPv6', async t => {
  for (const PORT of ['http', '65536', '-1', '80 ']) {
    t.strictSame(await healthCheck({ PORT }), {
      code: 1,
      stdout: '',
      stderr: `PORT is "${PORT}", but the rule is: a whole number from 0 to 65535.\n`,
    })
  }
  const busy = createHttpServer((_, reply) => {
    reply.writeHead(503).end('{"status":"stopping"}')
  }).listen(0, '::1')
  await once(busy, 'listening')
  t.teardown(() => busy.close())
  t.strictSame(await healthCheck({ HOST: '::1', PORT: portOf(busy) }), {
    code: 1,
    stdout: '{"status":"stopping"}\n',
    stderr: '',
  })
})

t.test('the health check of the image takes at most 60 MB', async t => {
  const script = `
    process.on('exit', () => console.log(process.resourceUsage().maxRSS))
    await import(${JSON.stringify(join(built, 'dist', 'cli', 'probe.js'))})`
  const command = ['-i', 'PORT=1', process.execPath, '--input-type=module', '--eval', script]
  const { stdout } = await endOf(spawn('env', command, { stdio: ['ignore', 'pipe', 'pipe'] }))
  t.ok(Number(stdout) > 0)
  t.ok(Number(stdout) * 1024 < 60e6, `${stdout} KiB`)
})

t.test('a service on a schema that is behind says so until migrate was run', async t => {
  const DATABASE_URL = await emptyDatabase(t)
  const { url } = await serve(t, { DATABASE_URL, ROLLCALL_MIGRATE_ON_START: 'false' })
  const behind = await fetch(`${url}/readyz`)
  t.equal(behind.status, 503)
  t.match(await behind.json(), { code: 'not_ready', detail: /^The schema is at version 0, behind/ })

  const first = await rollcall({ DATABASE_URL }, 'migrate')
  t.match(first, { code: 0, stdout: /^The schema is at version \d+: ran \d+\.[^/]*\.sql\.\n$/ })
  const second = await rollcall({ DATABASE_URL }, 'migrate')
  t.match(second, { code: 0, stdout: /^The schema is at version \d+: nothing to run\.\n$/ })
  const heal = async () => (await fetch(`${url}/readyz`)).ok || undefined
  t.equal(await poll(heal, { forMs: 10_000 }), true)
})

t.test('openapi prints the document that is committed', async t => {
  const stdout = await readFile(join(built, 'openapi', 'openapi.json'), 'utf8')
  t.strictSame(await rollcall('openapi'), { code: 0, stdout, stderr: '' })
})

t.test(
  'what was acknowledged before kill -9 of the service is there after its next start',
  async t => {
    const ROLLCALL_DATA_DIR = await mkdtemp(join(tmpdir(), 'rollcall-cli-'))
    await chmod(ROLLCALL_DATA_DIR, 0o755)
    t.teardown(() => removeServer(ROLLCALL_DATA_DIR))

    const first = await serve(t, { ROLLCALL_DATA_DIR })
    await first.post('executions/run/barrier/enqueue', { total: 2 })
    const granted = await first.post('executions/run/batches/0/claim', {})
    t.match(granted, { outcome: 'granted', token: String })
    first.process.kill('SIGKILL')
    await once(first.process, 'close')

    const second = await serve(t, { ROLLCALL_DATA_DIR })
    t.match(await second.stderr(), /its own Postgres 18\.\d+ \(adopted\), data in /)
    t.match(await second.post('executions/run/batches/0/claim', {}), { outcome: 'in_progress' })
    const { token } = granted
    t.match(await second.post('executions/run/barrier/decrement', { batch_index: 0, token }), {
      outcome: 'recorded',
      remaining: 1,
    })
    t.equal(await second.stop(), 0)
  },
)

/** The compiled project as it is installed, in a folder of its own. */
async function build(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-cli-'))
  await chmod(folder, 0o755)
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await cp(join(project, 'src'), join(folder, 'dist'), { recursive: true })
  for (const name of ['package.json', 'migrations', 'openapi']) {
    await cp(join(project, name), join(folder, name), { recursive: true, dereference: true })
  }
  await symlink(join(project, 'node_modules'), join(folder, 'node_modules'), 'junction')
  return folder
}

type Environment = Record<string, string>

function start(
  environment: Environment,
  words: string[],
  file: 'cli.js' | 'probe.js' = 'cli.js',
): ChildProcess {
  const given = Object.entries({ PATH: process.env['PATH'] ?? '', ...environment })
  const variables = given.map(([name, value]) => `${name}=${value}`)
  const program = join(built, 'dist', 'cli', file)
  // tap would load itself into a child of this process; through env nothing of it is left.
  const command = ['-i', ...variables, process.execPath, program, ...words]
  return spawn('env', command, { cwd: built, stdio: ['ignore', 'pipe', 'pipe'] })
}

interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs a command to its end. */
async function rollcall(...words: [Environment, ...string[]] | string[]): Promise<Ended> {
  const [environment, rest] =
    typeof words[0] === 'object' ? [words[0], words.slice(1)] : [{}, words]
  return endOf(start(environment, rest as string[]))
}

/** The health check of the image. */
async function healthCheck(environment: Environment): Promise<Ended> {
  return endOf(start(environment, [], 'probe.js'))
}

async function endOf(child: ChildProcess): Promise<Ended> {
  const [stdout, stderr] = await Promise.all([read(child.stdout), read(child.stderr), ended(child)])
  return { code: child.exitCode, stdout, stderr }
}

interface Serving {
  process: ChildProcess
  PORT: string
  url: string
  stdout: Promise<string>
  stderr: () => Promise<string>
  post: (path: string, body: object) => Promise<Record<string, unknown>>
  /** SIGTERM; returns the exit code. */
  stop: () => Promise<number | null>
}

/** Starts a service on a free port and comes back when it answers. */
async function serve(t: Test, environment: Environment): Promise<Serving> {
  const PORT = await freePort()
  const child = start({ PORT, ...environment }, ['serve'])
  t.teardown(() => child.kill('SIGKILL'))
  const stdout = read(child.stdout)
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (said += chunk))
  const url = `http://127.0.0.1:${PORT}`
  const isUp = await poll(
    async () =>
      child.exitCode ??
      fetch(`${url}/livez`).then(
        ({ ok }) => ok,
        () => undefined,
      ),
    { forMs: 60_000 },
  )
  if (isUp !== true) throw new Error(`The service did not start: ${said}`)
  return {
    process: child,
    PORT,
    url,
    stdout,
    stderr: async () => said,
    async post(path, body) {
      const reply = await fetch(`${url}/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      return (await reply.json()) as Record<string, unknown>
    },
    async stop() {
      child.kill('SIGTERM')
      await ended(child)
      return child.exitCode
    },
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

function read(stream: NodeJS.ReadableStream | null): Promise<string> {
  return stream === null ? Promise.resolve('') : text(stream)
}

async function freePort(): Promise<string> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const port = portOf(probe)
  probe.close()
  await once(probe, 'close')
  return port
}

function portOf(server: ReturnType<typeof createServer>): string {
  const address = server.address()
  return typeof address === 'object' && address !== null ? String(address.port) : ''
}

/** A database without any schema. */
async function emptyDatabase(t: Test): Promise<string> {
  const beside: Database = await freshDatabase(t)
  const name = `empty_${process.pid}_${Date.now()}`
  await beside.query(`create database ${name} template template0`)
  t.teardown(async () => beside.query(`drop database ${name} with (force)`))
  const url = new URL(beside.url.replace('@/', '@socket/'))
  url.pathname = `/${name}`
  return url.href.replace('@socket/', '@/')
}

function escaped(sentence: string): string {
  return sentence.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
}
