import { readFile, writeFile } from 'node:fs/promises'
import { buildApp } from './app.ts'
import { readConfig } from './config.ts'

const committed = new URL('../openapi/openapi.json', import.meta.url)

/** A host that is none: the document asks no database, and what listens to one does not find it. */
const nowhere = { host: '/nowhere' }

/** The document as it is committed, made by the service itself. It is the same whatever the configuration. */
async function openapiText(): Promise<string> {
  const app = await buildApp(readConfig({ LOG_LEVEL: 'silent' }), nowhere)
  await app.ready()
  const text = `${JSON.stringify(app.swagger(), undefined, 2)}\n`
  await app.close()
  return text
}

/** `rollcall openapi`: prints the document, writes its file, or checks that the file is not stale. Returns the exit code. */
export async function openapiFile(
  { check, write }: { check?: true; write?: true },
  file: URL | string = committed,
): Promise<number> {
  const text = await openapiText()
  if (write) {
    await writeFile(file, text)
    return 0
  }
  if (!check) {
    process.stdout.write(text)
    return 0
  }
  const found = await readFile(file, 'utf8').catch(() => '')
  if (found === text) return 0
  process.stderr.write(
    'openapi/openapi.json is not what the routes say; run rollcall openapi --write.\n',
  )
  return 1
}
