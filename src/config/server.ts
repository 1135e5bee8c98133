import { z } from 'zod'
import { integer } from './values.ts'

/** Where the service listens, and what it logs. */
export const listening = {
  HOST: z.string().default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all.'),
  PORT: integer(0, 65_535).default(8080).describe('Port to listen on; 0 picks a free one.'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('The lowest level that is logged.'),
}

/** How the service stops. */
export const stopping = {
  ROLLCALL_DRAIN_SECONDS: integer(0, 600)
    .default(0)
    .describe(
      'How long requests are still served after SIGTERM, while /readyz already answers 503.',
    ),
  ROLLCALL_SHUTDOWN_SECONDS: integer(1, 600)
    .default(10)
    .describe(
      'How long a process that refuses new requests waits for those in flight before it ends.',
    ),
}
