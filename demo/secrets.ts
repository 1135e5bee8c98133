import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { readOwn } from '../src/own-file.ts'

/** The secrets that the receiver of callbacks verifies with. Their origin is shown when they do not fit. */
export interface Secrets {
  /** There are several while one is being rotated. */
  secrets: string[]
  origin: string
}

export function freshSecrets(): Secrets {
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  return { secrets: [secret], origin: 'the one that the demo gave to its own service' }
}

/** The secret that a service without DATABASE_URL made for itself. A file that may not be read counts as none. */
export async function keptSecrets(dataDir: string): Promise<Secrets | undefined> {
  const file = join(dataDir, 'webhook-secret')
  const text = await readOwn(file).catch(() => '')
  const secrets = text.split(/\s+/).filter(Boolean)
  return secrets.length === 0 ? undefined : { secrets, origin: `that of ${file}` }
}
