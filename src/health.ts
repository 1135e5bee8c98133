import { baseUrl } from './base-url.ts'
import type { Config } from './config.ts'
import { StartFailure } from './start-failure.ts'

/** `rollcall health`: what `/readyz` of the service on this machine says, and 0 when that is yes. */
export async function health({ HOST, PORT }: Config): Promise<number> {
  const url = `${baseUrl(HOST, PORT)}/readyz`
  const reply = await fetch(url, { signal: AbortSignal.timeout(5000) }).catch((error: unknown) => {
    const { cause = error } = error as Error
    const why = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message
    throw new StartFailure(`Nothing answers at ${url} (${why}).`)
  })
  process.stdout.write(`${await reply.text()}\n`)
  return reply.ok ? 0 : 1
}
