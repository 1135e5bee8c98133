import { z } from 'zod'
import { flag, integer } from './values.ts'

/** The Postgres that the service uses. */
export const which = {
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'a URL that begins with postgres://')
    .refine(
      url =>
        /^\w+:\/\/[^/?#]*([/?][^@#]*)?$/.test(url) &&
        URL.canParse(url.replace('@/', '@localhost/')),
      'a URL with a port to 65535, where a password has %23 for #, %2F for / and %3F for ?',
    )
    .optional()
    .describe('Postgres 15 or newer; without it the service starts its own Postgres 18.'),
}

/** How the service uses that Postgres. */
export const how = {
  ROLLCALL_DATA_DIR: z
    .string()
    .default('.rollcall')
    .describe('Folder of the embedded Postgres; not used with DATABASE_URL.'),
  ROLLCALL_MIGRATE_ON_START: flag
    .default(true)
    .describe('Whether serve brings the schema up to date; otherwise run rollcall migrate.'),
  ROLLCALL_ALLOW_UNSAFE_DURABILITY: flag
    .default(false)
    .describe('Whether the service is ready on a database that may lose acknowledged writes.'),
  ROLLCALL_PREPARED_STATEMENTS: flag
    .default(true)
    .describe(
      'Whether prepared statements have names; set false behind a transaction pooler that cannot track them.',
    ),
  ROLLCALL_POOL_SIZE: integer(1, 500).default(10).describe('Connections to Postgres.'),
  ROLLCALL_POOL_WAIT_SECONDS: integer(1, 60)
    .default(2)
    .describe(
      'How long a request waits for a connection, for room for its body, or behind a shared run that hangs; then it gets 503 overloaded.',
    ),
  ROLLCALL_STATEMENT_TIMEOUT_SECONDS: integer(1, 3600)
    .default(5)
    .describe('How long one statement may run.'),
  ROLLCALL_LOCK_TIMEOUT_SECONDS: integer(1, 3600)
    .default(2)
    .describe('How long one statement waits for a row that another transaction has locked.'),
}
