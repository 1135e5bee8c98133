import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cp,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'

/** tap runs in the folder of the project; the tests lie compiled in another. */
const root = process.cwd()

const main = (answer: string) => `import { readFileSync } from 'node:fs'
const statement = new URL('statement.sql', import.meta.url)
console.log(${answer}, readFileSync(statement, 'utf8'))
`

t.test('npm start builds first, as npm run build does', async t => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  t.match(scripts, { prestart: 'node build.js', build: 'node build.js' })
})

t.test('what is compiled and current is not compiled again, whatever its time', async t => {
  const project = await projectIn(t)
  t.match(await project.start(), { stdout: '1 select 1', code: 0, wasBuilt: true })
  t.match(await project.start(), { stdout: '1 select 1', code: 0, wasBuilt: false })
  for (const name of ['src/main.ts', 'dist/main.js', 'tsconfig.json']) {
    await utimes(join(project.folder, name), 1, 1)
  }
  t.match(await project.start(), { stdout: '1 select 1', wasBuilt: false })
})

t.test('what changed is compiled, once', async t => {
  const { folder, write, start } = await projectIn(t)
  await start()
  const changes: [what: string, change: () => Promise<unknown>, stdout: string][] = [
    ['a source', () => write('src/main.ts', main('2')), '2 select 1'],
    ['the same source, as it was', () => write('src/main.ts', main('1')), '1 select 1'],
    [
      'a source with the time of before',
      async () => {
        const { atime, mtime } = await stat(join(folder, 'src/main.ts'))
        await write('src/main.ts', main('3'))
        await utimes(join(folder, 'src/main.ts'), atime, mtime)
      },
      '3 select 1',
    ],
    ['a statement', () => write('src/statement.sql', 'select 2'), '3 select 2'],
    [
      'a setting of the compiler',
      async () => {
        const settings = await readFile(join(root, 'tsconfig.json'), 'utf8')
        await write('tsconfig.json', settings.replace('"noEmit": true', '"removeComments": true'))
      },
      '3 select 2',
    ],
    [
      'the version of an installed package',
      () => write('node_modules/.package-lock.json', '{ "version": "2" }'),
      '3 select 2',
    ],
    ['all of dist', () => rm(join(folder, 'dist'), { recursive: true }), '3 select 2'],
    [
      'all of dist but the notes of tsc',
      async () => {
        for (const name of ['main.js', 'statement.sql', '.built'])
          await rm(join(folder, 'dist', name))
      },
      '3 select 2',
    ],
    ['a compiled file, which is gone', () => rm(join(folder, 'dist/main.js')), '3 select 2'],
    ['a compiled file', () => write('dist/main.js', 'console.log("not ours")'), '3 select 2'],
  ]
  for (const [what, change, stdout] of changes) {
    await change()
    t.match(await start(), { stdout, code: 0, wasBuilt: true }, what)
    t.match(await start(), { stdout, code: 0, wasBuilt: false }, `${what}, and again`)
  }
})

t.test('of a source that is gone nothing stays in dist', async t => {
  const { folder, write, start } = await projectIn(t)
  await write('src/more/other.ts', 'export const other = 1\n')
  await write('src/more/other.sql', 'select 1')
  await start()
  t.match(await readdir(join(folder, 'dist/more')), ['other.js', 'other.sql'])
  await rm(join(folder, 'src/more'), { recursive: true })
  t.match(await start(), { stdout: '1 select 1', wasBuilt: true })
  await t.rejects(readFile(join(folder, 'dist/more/other.js')), { code: 'ENOENT' })
  await t.rejects(readFile(join(folder, 'dist/more/other.sql')), { code: 'ENOENT' })
})

t.test('a source that does not compile is not started, now or later', async t => {
  const { write, start } = await projectIn(t)
  await start()
  await write('src/main.ts', `${main('1')}export const text: string = 1\n`)
  for (const time of ['first', 'second']) {
    const { code, stdout } = await start()
    t.not(code, 0, time)
    t.match(stdout, /^src\/main\.ts\(4,14\): error TS2322: /, time)
  }
  await write('src/main.ts', main('1'))
  t.match(await start(), { stdout: '1 select 1', code: 0 })
})

/** A service of one source and one statement, which is built as this one is. */
async function projectIn(t: Test) {
  const folder = t.testdir({ src: { 'main.ts': main('1'), 'statement.sql': 'select 1' } })
  for (const name of ['build.js', 'package.json', 'tsconfig.json', 'tsconfig.build.json']) {
    await cp(join(root, name), join(folder, name))
  }
  await mkdir(join(folder, 'node_modules'))
  for (const name of ['typescript', '@tsconfig', '@types']) {
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name), 'junction')
  }
  const write = async (name: string, content: string) => {
    await mkdir(join(folder, name, '..'), { recursive: true })
    await writeFile(join(folder, name), content)
  }
  await write('node_modules/.package-lock.json', '{ "version": "1" }')
  const builtAt = async () =>
    stat(join(folder, 'dist/.built')).then(
      ({ mtimeMs, ino }) => `${ino} ${mtimeMs}`,
      () => undefined,
    )
  const run = async (file: string) => {
    // tap would load itself into a child of this process; through env nothing of it is left.
    const command = ['-i', process.execPath, file]
    const child = spawn('env', command, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
    const [stdout] = await Promise.all([text(child.stdout), once(child, 'exit')])
    return { code: child.exitCode, stdout }
  }
  /** As npm does it: what is built first has to end well. */
  const start = async () => {
    const before = await builtAt()
    const built = await run('build.js')
    const started = built.code === 0 ? await run('dist/main.js') : built
    return { ...started, wasBuilt: (await builtAt()) !== before }
  }
  return { folder, write, start }
}
