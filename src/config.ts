import { closest, distance } from 'fastest-levenshtein'
import { z } from 'zod'
import { access } from './config/access.ts'
import { callbacks } from './config/callbacks.ts'
import * as database from './config/database.ts'
import { limits } from './config/limits.ts'
import { retention } from './config/retention.ts'
import * as server from './config/server.ts'
import { fileVariable, secretOf } from './secret-file.ts'
import { StartFailure } from './start-failure.ts'

/** The whole configuration. `--help` and docs/reference.md print its names, defaults, bounds and sentences. */
export const Config = z
  .object({
    ...database.which,
    ...server.listening,
    ...database.how,
    ...server.stopping,
    ...limits,
    ...access,
    ...callbacks,
    ...retention,
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

/** One row per variable, for `--help` and docs/reference.md. */
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
