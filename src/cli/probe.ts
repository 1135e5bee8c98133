import { health } from './health.ts'
import { StartFailure } from '../start-failure.ts'

/**
 * `rollcall health` for a HEALTHCHECK every ten seconds. The command line and zod would take twice the memory and five times
 * the processor time. So this does without them and judges its two variables itself, in the words of config.ts.
 */
const host = process.env['HOST'] || '127.0.0.1'
const port = process.env['PORT'] || '8080'

try {
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw new StartFailure(
      `PORT is ${JSON.stringify(port)}, but the rule is: a whole number from 0 to 65535.`,
    )
  }
  process.exitCode = await health(host, Number(port))
} catch (error) {
  const known = error instanceof StartFailure
  process.stderr.write(`${known ? error.message : ((error as Error).stack ?? String(error))}\n`)
  process.exitCode = 1
}
