// Puts beside the compiled sources and tests what they read: statements are copied, the rest of the project is linked.
// Tests run compiled, because a loader that compiles in each of their processes costs ten seconds a process.
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'

const stage = '.build'

mkdirSync(stage, { recursive: true })
cpSync('src', `${stage}/src`, { recursive: true, filter: file => !file.endsWith('.ts') })
for (const name of readdirSync('.')) {
  if (['.git', stage, 'src', 'test', 'bench', 'dist'].includes(name)) continue
  rmSync(`${stage}/${name}`, { force: true })
  symlinkSync(`../${name}`, `${stage}/${name}`, 'junction')
}
