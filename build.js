// Compiles src to dist, unless dist is what that would come to. npm start runs this before the service.
//
// Contents are compared, not times, which a checkout changes. tsc cannot tell: it takes seconds to find out that nothing
// changed, does not know the statements beside the sources, and does not write again what is gone from dist.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'

/** The last is npm's list of what is installed: the compiler and the types are in it. */
const inputs = [
  'src',
  'build.js',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  join('node_modules', '.package-lock.json'),
]
/** Two digests, that of the inputs and that of what was made of them. */
const record = join('dist', '.built')
/** What tsc notes for the next time. */
const notes = join('dist', 'tsconfig.tsbuildinfo')

buildUnlessCurrent()

function buildUnlessCurrent() {
  const from = digestOf(inputs)
  const [builtFrom, built] = existsSync(record) ? readFileSync(record, 'utf8').split('\n') : []
  const isWhole = built === digestOf(['dist'])
  if (isWhole && builtFrom === from) return
  // tsc would go by its notes, and leave out what it once wrote.
  if (!isWhole) rmSync('dist', { recursive: true, force: true })
  compile()
  cpSync('src', 'dist', { recursive: true, filter: file => !file.endsWith('.ts') })
  for (const file of filesOf('dist')) if (!comesOfSource(file)) rmSync(file)
  writeFileSync(record, `${from}\n${digestOf(['dist'])}\n`)
}

function compile() {
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc')
  const args = [tsc, '-p', 'tsconfig.build.json']
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

/** A source that is gone leaves its file behind, which would still be shipped. */
function comesOfSource(file) {
  const source = join('src', relative('dist', file))
  return file === notes || existsSync(source) || existsSync(source.replace(/\.js$/, '.ts'))
}

function digestOf(paths) {
  const files = paths.flatMap(filesOf).toSorted()
  return sha256(files.map(file => `${sha256(readFileSync(file))}  ${file}\n`).join(''))
}

/** All files at or below a path, but the record of them. */
function filesOf(path) {
  if (path === record || !existsSync(path)) return []
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path).flatMap(name => filesOf(join(path, name)))
}

function sha256(content) {
  return createHash('sha256').update(content).digest('hex')
}
