// Puts beside the compiled sources, tests and benches what they read: statements are copied, the rest of the project is linked.
// Tests run compiled, because a loader that compiles in each of their processes costs ten seconds a process.
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'

const stage = '.build'

mkdirSync(stage, { recursive: true })
for (const folder of ['src', 'bench/load']) {
  cpSync(folder, `${stage}/${folder}`, { recursive: true, filter: file => !file.endsWith('.ts') })
}
// What stays of a file that is gone would still be run, or prepared.
const compiled = ['src', 'test', 'bench', 'demo']
for (const folder of compiled) {
  for (const name of readdirSync(`${stage}/${folder}`, { recursive: true, encoding: 'utf8' })) {
    const source = `${folder}/${name.replace(/\.js(\.map)?$/, '.ts')}`
    if (!existsSync(source) && !existsSync(`${folder}/${name}`))
      rmSync(`${stage}/${folder}/${name}`, { recursive: true, force: true })
  }
}
for (const name of readdirSync('.')) {
  if (['.git', stage, 'dist', ...compiled].includes(name)) continue
  rmSync(`${stage}/${name}`, { force: true })
  symlinkSync(`../${name}`, `${stage}/${name}`, 'junction')
}
