import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

/** The project's own folder: this runs compiled, in .build/bench. */
export const project = join(import.meta.dirname, '..', '..')

/** The compiled sources beside the compiled bench. */
export const compiled = join(import.meta.dirname, '..', 'src')

/** The means to start the service: its compiled command line, and the options that its `npm start` gives to node. */
export interface Build {
  cli: string
  nodeOptions: string[]
}

/** The build of the working tree. */
export const ownBuild = buildOf(project, compiled)

/** The build of a project whose sources are compiled to `dist`. Its package.json names the file of the command line. */
export function buildOf(folder: string, dist = join(folder, 'dist')): Build {
  const { bin, scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    bin: { rollcall: string }
    scripts: { start: string }
  }
  return {
    cli: join(dist, relative('dist', bin.rollcall)),
    nodeOptions: scripts.start.split(' ').filter(word => word.startsWith('--')),
  }
}
