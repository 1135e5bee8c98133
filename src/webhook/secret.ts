import { randomBytes, randomUUID } from 'node:crypto'
import { link, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readOwn } from '../own-file.ts'
import { StartFailure } from '../start-failure.ts'
import { isSecret } from './signature.ts'

/**
 * The secret of a service that was given none, made once and kept beside the data of its own Postgres: so a trial of the
 * service has signed callbacks from the start. Only its owner can read it; it is there whole or not at all.
 */
export async function keptSecret(dataDir: string): Promise<string> {
  const path = join(dataDir, 'webhook-secret')
  const draft = `${path}.${randomUUID()}`
  await writeFile(draft, `whsec_${randomBytes(32).toString('base64')}\n`, {
    mode: 0o600,
    flag: 'wx',
    flush: true,
  })
  await link(draft, path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  })
  await rm(draft)
  const secret = (await readOwn(path)).trim()
  if (isSecret(secret)) return secret
  throw new StartFailure(
    `${path} holds no secret (whsec_ and base64). Remove it, and a new one is made; or set ROLLCALL_WEBHOOK_SECRET.`,
  )
}
