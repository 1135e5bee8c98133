import { writeFile } from 'node:fs/promises'
import { filledReference } from './tables.ts'
import { documents } from './documents.ts'

/** `npm run generate` writes the files that are made from the source. Tests fail when that is due. This runs compiled, in .build/openapi. */
const project = new URL('../../', import.meta.url)

for (const [name, text] of Object.entries(await documents())) {
  await writeFile(new URL(`openapi/${name}`, project), text)
}
await writeFile(new URL('docs/reference.md', project), await filledReference())
