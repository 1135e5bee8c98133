import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The project's own folder: this runs compiled, in .build/bench. */
export const project = join(import.meta.dirname, '..', '..')

/** The compiled sources beside the compiled bench. */
export const compiled = join(import.meta.dirname, '..', 'src')

const { scripts } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {
  scripts: { start: string }
}

/** The options of node that `npm start` gives to the service. */
export const nodeOptions = scripts.start.split(' ').filter(word => word.startsWith('--'))
