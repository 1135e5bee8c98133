// Puts beside the compiled sources, tests and benches what they read: statements are copied, the rest of the project is linked.
// Tests run compiled, because a loader that compiles in each of their processes costs ten seconds a process.
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'

const stage = '.build'
const compiled = ['openapi', 'src', 'test', 'bench', 'demo']

mkdirSync(stage, { recursive: true })
// Made anew: what a link leads to may be gone, or be compiled by now, and the compiler would write through it.
for (const entry of readdirSync(stage, { withFileTypes: true })) {
  if (entry.isSymbolicLink()) rmSync(`${stage}/${entry.name}`)
}
for (const name of readdirSync('.')) {
  if (['.git', stage, 'dist', ...compiled].includes(name)) continue
  symlinkSync(`../${name}`, `${stage}/${name}`, 'junction')
}
for (const folder of ['openapi', 'src', 'bench/load']) {
  cpSync(folder, `${stage}/${folder}`, { recursive: true, filter: file => !file.endsWith('.ts') })
}
// What stays of a file that is gone would still be run, or prepared.
for (const folder of compiled.filter(name => existsSync(`${stage}/${name}`))) {
  for (const name of readdirSync(`${stage}/${folder}`, { recursive: true, encoding: 'utf8' })) {
    const source = `${folder}/${name.replace(/\.js(\.map)?$/, '.ts')}`
    if (!existsSync(source) && !existsSync(`${folder}/${name}`))
      rmSync(`${stage}/${folder}/${name}`, { recursive: true, force: true })
  }
}
