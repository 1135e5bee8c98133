import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, extname, join } from 'node:path'

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'application/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
}

export interface Kept {
  type: string
  bytes: Buffer
}

/**
 * The files of Swagger UI, by name. Some 2.5 MiB that are read once: a file that is opened for each request costs a
 * descriptor for as long as its caller does not read.
 */
export async function swaggerUiFiles(): Promise<ReadonlyMap<string, Kept>> {
  const main = createRequire(import.meta.url).resolve('@fastify/swagger-ui')
  const folder = join(dirname(main), 'static')
  const files = await Promise.all(
    (await readdir(folder)).map(async name => {
      const type = types[extname(name)] ?? 'application/octet-stream'
      return [name, { type, bytes: await readFile(join(folder, name)) }] as const
    }),
  )
  return new Map(files)
}
