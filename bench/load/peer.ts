import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { project } from '../project.ts'

const require = createRequire(join(project, 'bench', 'package.json'))

/** Loads a package of bench/package.json; only the run that compares with it does. */
export async function peer<Module>(name: string): Promise<Module> {
  return (await import(pathToFileURL(require.resolve(name)).href)) as Module
}
