import { closest, distance } from 'fastest-levenshtein'
import { z } from 'zod'
import { fileVariable, secretOf } from './secret-file.ts'
import { StartFailure } from './start-failure.ts'
import { isAllowable } from './webhook/guard.ts'
import { isSecret } from './webhook/signature.ts'

const KiB = 1024
const MiB = 1024 * KiB

const DAY = 86_400
const YEAR = 365 * DAY

/** Digits only: an environment variable is text, and "" or "1e3" or " 5" is not a number here. */
function integer(minimum: number, maximum: number) {
  return z
    .string()
    .regex(/^\d+$/, 'a whole number in digits')
    .transform(Number)
    .pipe(z.int().min(minimum).max(maximum))
}

/** The items between separators; none when the variable is not set. */
function list(separator: RegExp, isItem: (text: string) => boolean, rule: string) {
  return z
    .string()
    .prefault('')
    .transform(text => (text === '' ? [] : text.trim().split(separator)))
    .refine(items => items.every(isItem), rule)
}

const flag = z.enum(['true', 'false']).transform(word => word === 'true')

/** The whole configuration. `--help` and the README print its names, defaults, bounds and sentences. */
export const Config = z
  .object({
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
    HOST: z.string().default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all.'),
    PORT: integer(0, 65_535).default(8080).describe('Port to listen on; 0 picks a free one.'),
    LOG_LEVEL: z
      .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
      .default('info')
      .describe('The lowest level that is logged.'),
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
    ROLLCALL_BODY_LIMIT_BYTES: integer(KiB, 256 * MiB)
      .default(MiB)
      .describe('Largest request body.'),
    ROLLCALL_BULK_BODY_LIMIT_BYTES: integer(KiB, 256 * MiB)
      .default(16 * MiB)
      .describe('Largest request body on the bulk routes.'),
    ROLLCALL_BODIES_LIMIT_BYTES: integer(MiB, 16 * 1024 * MiB)
      .default(32 * MiB)
      .describe(
        'Size of all request bodies held at once, but at least of the largest one; further bodies wait, then get 503 overloaded.',
      ),
    ROLLCALL_RESULT_LIMIT_BYTES: integer(1, 64 * MiB)
      .default(256 * KiB)
      .describe('Largest result of one batch, as JSON text.'),
    ROLLCALL_ERROR_LIMIT_BYTES: integer(1, 64 * MiB)
      .default(16 * KiB)
      .describe('Largest error of one batch, as JSON text.'),
    ROLLCALL_JSON_DEPTH_LIMIT: integer(1, 1000)
      .default(100)
      .describe('Deepest nesting of a request body.'),
    ROLLCALL_TOTAL_LIMIT: integer(1, 10_000_000)
      .default(1_000_000)
      .describe('Most batches of one barrier.'),
    ROLLCALL_INLINE_RESULTS_BYTES: integer(0, 16 * MiB)
      .default(MiB)
      .describe(
        'Largest results that a callback carries itself; larger ones are fetched from its results_url.',
      ),
    ROLLCALL_PUBLIC_URL: z
      .string()
      .refine(
        url => /^https?:\/\/[^\s?#@/]+(\/[^\s?#]*[^\s?#/])?$/.test(url) && URL.canParse(url),
        'a URL without credentials, without query and without a slash at its end',
      )
      .optional()
      .describe('Beginning of each results_url; without it results_url is a path.'),
    ROLLCALL_HOSTS: list(
      /\s*,\s*/,
      name => /^[\w-]+(\.[\w-]+)*\.?$/.test(name),
      'host names with commas between, without ports',
    ).describe(
      'Names that a request may give as its Host. Addresses, localhost and the name in ROLLCALL_PUBLIC_URL are always allowed; other names get 403. Without it every name is allowed, unless HOST is a loopback address.',
    ),
    ROLLCALL_WEBHOOK_SECRET: list(
      /\s+/,
      isSecret,
      'whsec_ and the base64 of 24 to 64 bytes, or several of them with spaces between',
    ).describe(
      'Secrets that sign callbacks, each whsec_ and base64. To rotate them, give several, newest first.',
    ),
    ROLLCALL_CALLBACK_ALLOW: list(
      /\s*,\s*/,
      isAllowable,
      'host names, addresses and CIDR ranges with commas between',
    ).describe(
      'Private hosts, addresses and CIDR ranges that callbacks may reach, also without TLS. Search domains are used only for hosts named here.',
    ),
    ROLLCALL_REAPER_REST_SECONDS: integer(1, 3600)
      .default(5)
      .describe('How long the reaper rests once it has nothing to do.'),
    ROLLCALL_EXHAUSTED_GRACE_SECONDS: integer(0, DAY)
      .default(60)
      .describe(
        'How long the last attempt may still record an outcome after its lease ended. Then the reaper records `attempts_exhausted`.',
      ),
    ROLLCALL_RETAIN_CLAIMS_SECONDS: integer(60, 10 * YEAR)
      .default(DAY)
      .describe('How long a claim without a barrier is kept after its last sign of life.'),
    ROLLCALL_RETAIN_REPLACED_SECONDS: integer(60, 10 * YEAR)
      .default(DAY)
      .describe('How long the batches of a replaced generation are kept.'),
    ROLLCALL_RETAIN_BATCHES_SECONDS: integer(60, 10 * YEAR)
      .default(7 * DAY)
      .describe(
        'How long batches are kept after the barrier closed and its callback settled; also how long a callback waits in a queue.',
      ),
    ROLLCALL_RETAIN_TOMBSTONES_SECONDS: integer(60, 10 * YEAR)
      .default(30 * DAY)
      .describe('How long a closed barrier is kept; at least as long as its batches.'),
  })
  .check(
    z.refine(
      ({ ROLLCALL_RETAIN_TOMBSTONES_SECONDS, ROLLCALL_RETAIN_BATCHES_SECONDS }) =>
        ROLLCALL_RETAIN_TOMBSTONES_SECONDS >= ROLLCALL_RETAIN_BATCHES_SECONDS,
      {
        path: ['ROLLCALL_RETAIN_TOMBSTONES_SECONDS'],
        error: 'not less than ROLLCALL_RETAIN_BATCHES_SECONDS',
      },
    ),
  )

export type Config = z.output<typeof Config>

/** Reads the environment. Throws one sentence for each wrong variable. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const names = Object.keys(Config.shape)
  const secrets = new Map(
    names.filter(secret).map(name => [name, secretOf(name, environment)] as const),
  )
  const refusals = [...secrets.values()].flatMap(({ refusal }) => refusal ?? [])
  // Compose files and CI systems write an unset variable as an empty one.
  const given = Object.fromEntries(
    names.flatMap(name => {
      const value = secrets.has(name) ? secrets.get(name)?.value : environment[name]
      return value ? [[name, value]] : []
    }),
  )
  const parsed = Config.safeParse(given)
  if (parsed.success && refusals.length === 0) return parsed.data
  const wrong = parsed.error?.issues.map(({ path: [name = ''], message }) => {
    const value = secret(String(name)) ? 'hidden' : JSON.stringify(environment[String(name)])
    return `${String(name)} is ${value ?? 'left at its default'}, but the rule is: ${message}.`
  })
  throw new StartFailure([...refusals, ...(wrong ?? [])].join('\n'))
}

/** A sentence for each ROLLCALL_ variable that nothing reads, with the nearest name that is read. */
export function unknownVariables(environment: NodeJS.ProcessEnv = process.env): string[] {
  const known = Object.keys(Config.shape).flatMap(name =>
    secret(name) ? [name, fileVariable(name)] : [name],
  )
  return Object.keys(environment)
    .filter(name => name.startsWith('ROLLCALL_') && !known.includes(name))
    .map(name => {
      const nearest = closest(name, known)
      const hint = distance(name, nearest) <= name.length / 3 ? ` Did you mean ${nearest}?` : ''
      return `Nothing reads ${name}.${hint}`
    })
}

export interface Setting {
  name: string
  description: string
  fallback: string
  bounds: string
}

/** One row per variable, for `--help` and the README. */
export function settings(): Setting[] {
  const { properties = {} } = z.toJSONSchema(Config, { io: 'output', unrepresentable: 'any' })
  return Object.entries(properties).flatMap(([name, property]) => {
    const {
      description = '',
      default: fallback,
      minimum,
      maximum,
    } = property as z.core.JSONSchema.Schema
    const setting = {
      name,
      description,
      fallback: typeof fallback === 'string' ? fallback : (JSON.stringify(fallback) ?? ''),
      bounds: maximum === undefined ? '' : `${minimum} to ${maximum}`,
    }
    return secret(name) ? [setting, fileSetting(name)] : [setting]
  })
}

function fileSetting(name: string): Setting {
  const description = `Path of a file that holds ${name}; a line break at its end is left out.`
  return { name: fileVariable(name), description, fallback: '', bounds: '' }
}

/** The configuration in force, safe to show: without any password or secret. */
export function shown(config: Config): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config).map(([name, value]) => [name, secret(name) ? hidden(value) : value]),
  )
}

/** Shows a URL without its credentials, and only the number of other secrets. */
function hidden(value: unknown): unknown {
  if (typeof value === 'string') return withoutCredentials(value)
  return Array.isArray(value) ? value.map(() => '***') : value
}

/** A password may contain an @. It may also stand in a parameter, and several parameters can hold one. */
function withoutCredentials(url: string): string {
  return url
    .replace(/\/\/[^/?]*@/, '//***@')
    .replace(/([?&])([^=&]*)=[^&]*/g, (pair, before: string, name: string) =>
      /password$/i.test([...new URLSearchParams(name).keys()].join())
        ? `${before}${name}=***`
        : pair,
    )
}

function secret(name: string): boolean {
  return name === 'DATABASE_URL' || name === 'ROLLCALL_WEBHOOK_SECRET'
}
