import { join } from 'node:path'

/** The project's own folder: this runs compiled, in .build/bench. */
export const project = join(import.meta.dirname, '..', '..')

/** The compiled sources beside the compiled bench. */
export const compiled = join(import.meta.dirname, '..', 'src')
