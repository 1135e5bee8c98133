import { validate } from 'dockerfile-utils'
import { access, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

/** tap runs in the folder of the project; the tests lie compiled in another. */
const root = process.cwd()
const text = await readFile(join(root, 'Dockerfile'), 'utf8')

interface Instruction {
  keyword: string
  rest: string
}

/** The stages of the Dockerfile, each with its FROM first. */
const stages = text
  .replaceAll(/\\\n\s*/g, ' ')
  .split('\n')
  .filter(line => line !== '' && !line.startsWith('#'))
  .map(line => ({ keyword: line.split(' ')[0] ?? '', rest: line.slice(line.indexOf(' ') + 1) }))
  .reduce<Instruction[][]>((found, instruction) => {
    if (instruction.keyword === 'FROM') found.push([])
    found.at(-1)?.push(instruction)
    return found
  }, [])
const image = stages.at(-1) ?? []
const all = (keyword: string, stage = stages.flat()) =>
  stage.filter(instruction => instruction.keyword === keyword).map(({ rest }) => rest)

t.test('the Dockerfile lints clean', async t => {
  t.strictSame(validate(text), [])
})

t.test('the linter finds a planted mistake', async t => {
  t.not(validate(text.replace('EXPOSE 8080', 'EXPOSE 80x80')).length, 0)
})

t.test(
  'every stage is the same slim Node by its digest, and only the last one is the image',
  async t => {
    t.ok(stages.length > 1)
    t.match(text, /^ARG NODE=node:\d+-slim@sha256:[0-9a-f]{64}$/m)
    for (const from of all('FROM')) t.match(from, /^\$\{NODE\}( AS \w+)?$/)
    t.equal(new Set(all('FROM').map(from => from.split(' ')[0])).size, 1)
    t.notMatch(all('FROM').at(-1), / AS /)
  },
)

t.test('the image has neither dev dependencies nor the embedded Postgres', async t => {
  const packages = image.find(({ rest }) => rest.endsWith('node_modules'))?.rest ?? ''
  const [, name] = /^--from=(\w+) /.exec(packages) ?? []
  const stage = stages.find(([from]) => from?.rest.endsWith(` AS ${name}`))
  t.strictSame(
    all('RUN', stage).map(command => JSON.parse(command).slice(0, 4)),
    [['npm', 'ci', '--omit=dev', '--omit=optional']],
  )
})

t.test('nothing that installs packages is left in the image', async t => {
  const [command, ...more] = all('RUN', image)
  t.strictSame(more, [])
  const [program, option, ...paths] = JSON.parse(command ?? '') as string[]
  t.strictSame([program, option], ['rm', '-rf'])
  for (const path of ['lib/node_modules', 'bin/npm', 'bin/npx', 'bin/corepack', 'bin/yarn']) {
    t.ok(paths.includes(`/usr/local/${path}`), path)
  }
})

t.test('the image runs as a numeric user that owns nothing in it', async t => {
  t.match(all('USER', image), [/^[1-9]\d*:[1-9]\d*$/])
  t.strictSame(
    all('COPY', image).filter(copied => /--chown|--chmod/.test(copied)),
    [],
  )
})

t.test('the image listens to everybody, stops on SIGTERM and tells its health', async t => {
  t.match(all('ENV', image).join(' '), /NODE_ENV=production\b.*HOST=0\.0\.0\.0\b/)
  t.strictSame(all('STOPSIGNAL', image), ['SIGTERM'])
  t.match(all('HEALTHCHECK', image), [/CMD \["node", "dist\/cli\/probe\.js"\]$/])
  t.match(all('LABEL', image).join(' '), /org\.opencontainers\.image\.licenses="MIT"/)
})

t.test('the version on the image is that of the package', async t => {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  t.ok(all('LABEL', image).join(' ').includes(`org.opencontainers.image.version="${version}"`))
})

t.test('the image starts the service as npm start does', async t => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const [entry, command] = ['ENTRYPOINT', 'CMD'].flatMap(keyword => all(keyword, image))
  t.equal([JSON.parse(entry ?? ''), JSON.parse(command ?? '')].flat().join(' '), scripts.start)
})

t.test('the image has every document that the service serves', async t => {
  const names = await readdir(join(root, 'openapi'))
  const documents = names.filter(name => /\.(json|yaml)$/.test(name))
  t.ok(documents.length > 0)
  const copied = new Set(all('COPY', image).flatMap(rest => rest.split(' ')))
  for (const name of documents) t.ok(copied.has(`openapi/${name}`), name)
})

t.test('no command goes through a shell', async t => {
  const commands = ['RUN', 'CMD', 'ENTRYPOINT'].flatMap(keyword => all(keyword))
  for (const command of commands) t.type(JSON.parse(command), Array)
})

t.test(
  'whatever the image copies is there and goes to the builder, and nothing else does',
  async t => {
    const copied = all('COPY')
      .filter(rest => !rest.startsWith('--from='))
      .flatMap(rest => rest.split(' ').slice(0, -1))
    const ignore = (await readFile(join(root, '.dockerignore'), 'utf8')).trim().split('\n')
    const allowed = ignore.filter(line => line.startsWith('!')).map(line => line.slice(1))
    t.ok(ignore.includes('*'))
    t.strictSame([...new Set(copied)].toSorted(), allowed.toSorted())
    for (const path of copied) await t.resolves(access(join(root, path)))
    for (const path of ['bench', 'demo', 'test']) t.notOk(allowed.includes(path), path)
  },
)
