import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '..', '..')

/** The floors of the house, from the top. The files beside the rooms that are named here are its ground. */
const floors = [
  ['cli'],
  ['app.ts'],
  ['server', 'server.ts'],
  ['routes'],
  ['plugins', 'loops'],
  ['waits'],
  ['database'],
  ['config', 'config.ts'],
  ['webhook'],
]

function floorOf(file: string): number {
  const room = file.split('/')[1] ?? ''
  const floor = floors.findIndex(rooms => rooms.includes(room))
  return floor === -1 ? floors.length : floor
}

/** The files whose code a file runs; types are gone by then. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/^(?:import|export) (?!type )[^;']*? from '(\.[^']*)'/gm)].map(
    ([, target = '']) => normalize(join(dirname(file), target)).replaceAll('\\', '/'),
  )
}

t.test('no import runs upward', async t => {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => `src/${name.replaceAll('\\', '/')}`)
  const imports = files.flatMap(file => importsOf(file).map(imported => ({ file, imported })))
  t.ok(imports.length > 200, 'the imports were found')
  for (const { file, imported } of imports)
    if (floorOf(imported) < floorOf(file)) t.fail(`${file} imports ${imported}`)
})
