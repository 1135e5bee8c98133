import { join } from 'node:path'
import type { Scope } from '../measure/scope.ts'
import { type Build, ownBuild } from '../project.ts'
import { type Child, cpuSecondsOf, memoryOf, start } from './child.ts'

export interface Service {
  origin: string
  stop: () => Promise<void>
  /** Resident memory of its process. */
  memory: () => ReturnType<typeof memoryOf>
  /** The processor time of its process so far. */
  cpuSeconds: () => Promise<number>
}

interface Wish {
  build?: Build
  environment?: Record<string, string>
  /** Options of node, such as --cpu-prof. */
  node?: string[]
}

/** Starts `rollcall serve` as its own process on a free port of loopback. Settings that are not given have their defaults. */
export async function startService(
  scope: Scope,
  database: string,
  { build = ownBuild, environment = {}, node = [] }: Wish = {},
): Promise<Service> {
  const child = await start(
    scope,
    [process.execPath, ...build.nodeOptions, ...node, build.cli, 'serve'],
    {
      ready: /^ {2}API +(http:\S+)\/executions$/,
      environment: {
        DATABASE_URL: database,
        HOST: '127.0.0.1',
        PORT: '0',
        LOG_LEVEL: 'warn',
        ...environment,
      },
    },
  )
  return serviceOf(child)
}

/** The same service, but each request is a statement of its own, over as many connections as pay off. */
export function startUnshared(scope: Scope, database: string): Promise<Service> {
  return startService(scope, database, {
    node: ['--import', join(import.meta.dirname, 'sharing-off.js')],
    environment: { ROLLCALL_POOL_SIZE: '16' },
  })
}

/** Routes with the same schemas and without a database, to measure the cost of HTTP itself. */
export async function startBare(scope: Scope): Promise<Service> {
  return serviceOf(
    await start(scope, [process.execPath, join(import.meta.dirname, 'bare.js')], {
      ready: /^(http:\S+)$/,
    }),
  )
}

function serviceOf({ said, pid, stop }: Child): Service {
  return {
    origin: said,
    stop,
    memory: () => memoryOf(pid),
    cpuSeconds: () => cpuSecondsOf(pid),
  }
}
