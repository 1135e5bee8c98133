import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The project's own folder: this runs compiled, in .build/bench. */
export const project = join(import.meta.dirname, '..', '..')

/** The compiled sources beside the compiled bench. */
export const compiled = join(import.meta.dirname, '..', 'src')

/** The service as it is started: where its compiled sources are, and the options of node that its `npm start` gives. */
export interface Build {
  compiled: string
  nodeOptions: string[]
}

/** What is in the working tree. */
export const ownBuild: Build = { compiled, nodeOptions: nodeOptionsOf(project) }

export function nodeOptionsOf(folder: string): string[] {
  const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    scripts: { start: string }
  }
  return scripts.start.split(' ').filter(word => word.startsWith('--'))
}
