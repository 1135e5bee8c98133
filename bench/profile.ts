import { copyFile, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { startLoad } from './load/load.ts'
import type { Bench, Series } from './measure/finding.ts'
import { compiled, project } from './project.ts'
import { connected, Postgres } from './servers/postgres.ts'
import { startService } from './servers/service.ts'

const CONNECTIONS = 64
const EXECUTIONS = 1000
const SHOWN = 20

const sizes = { small: { seconds: 3 }, full: { seconds: 20 } }

interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[]
  samples: number[]
}

/** Shows where the time goes. No published claim needs it, and it is run only by its name. */
export const profile: Bench = {
  claim: 'Where the time of claims and decrements goes: functions of the service, and statements.',
  minutes: { small: 2, full: 5 },
  run: async ({ size, scope, tell }) => {
    const { seconds } = sizes[size]
    const postgres = await Postgres.start(scope, {
      shared_preload_libraries: 'pg_stat_statements',
      track_io_timing: 'on',
    })
    const database = await postgres.database()
    await connected(database, client => client.query('create extension pg_stat_statements'))
    const folder = await mkdtemp(join(tmpdir(), 'rollcall-bench-profile-'))
    scope.onEnd(() => rm(folder, { recursive: true, force: true }))
    const load = startLoad(scope)
    const service = await startService(scope, database, {
      node: ['--cpu-prof', `--cpu-prof-dir=${folder}`],
    })
    const spread = {
      origins: [service.origin],
      connections: CONNECTIONS,
      prefix: 'profile',
      executions: EXECUTIONS,
    }
    await load.run('requests', { ...spread, workload: 'enqueue', count: EXECUTIONS, seconds: 60 })
    await connected(database, client => client.query('select pg_stat_statements_reset()'))
    tell('claims, then pairs of claim and decrement')
    await load.run('requests', { ...spread, workload: 'claim', seconds })
    await load.run('requests', { ...spread, workload: 'work', first: 10_000_000, seconds })
    const statements = await slowest(database)
    // Node writes the profile as it ends.
    await service.stop()
    const kept = await keepProfile(folder)
    return {
      series: [...statements, ...(await hottest(kept))],
      ratios: [],
      notes: [`The CPU profile is ${kept}; Chrome's developer tools open it.`],
    }
  },
}

async function slowest(database: string): Promise<Series[]> {
  return connected(database, async client => {
    const { rows } = await client.query<Record<string, string>>(
      `select
        query,
        calls,
        total_exec_time / calls as ms,
        rows::float / calls as asks,
        wal_bytes / greatest(rows, 1) as wal,
        shared_blks_dirtied::float / greatest(rows, 1) as dirtied
      from pg_stat_statements
      where query like '%json_to_recordset%' or query like '%jsonb_to_recordset%'
      order by total_exec_time desc
      limit 6`,
    )
    const routes = await routeFiles()
    return rows.flatMap(({ query, calls, ms, asks, wal, dirtied }) =>
      Object.entries({
        calls,
        'ms/call': ms,
        'rows/call': asks,
        'WAL bytes/row': wal,
        'blocks dirtied/row': dirtied,
      }).map(([measure, value]) => ({
        contender: routes.get(fingerprint(query ?? '')) ?? 'another statement',
        measure,
        values: [Number(value)],
      })),
    )
  })
}

/** The statement files, by the form in which pg_stat_statements shows them. */
async function routeFiles(): Promise<Map<string, string>> {
  const files = await readdir(join(compiled, 'routes'), { recursive: true })
  const statements = files.filter(file => file.endsWith('.sql'))
  return new Map(
    await Promise.all(
      statements.map(async (file): Promise<[string, string]> => {
        const text = await readFile(join(compiled, 'routes', file), 'utf8')
        return [fingerprint(text), file]
      }),
    ),
  )
}

/** The view drops the comment at the head, all constants (epoch is one of them), and the length of lists. */
function fingerprint(sql: string): string {
  return sql
    .replaceAll(/--.*$/gm, '')
    .replaceAll(/'[^']*'|\$\d+|\b(\d+(\.\d+)?|true|false|null|epoch)\b/g, '?')
    .replaceAll(/\bin \([^)]*\)/g, 'in ?')
    .replaceAll(/\s+/g, ' ')
    .trim()
}

async function keepProfile(folder: string): Promise<string> {
  const [name] = await readdir(folder)
  if (name === undefined) throw new Error('Node wrote no CPU profile.')
  const results = join(project, 'bench', 'results')
  await mkdir(results, { recursive: true })
  const kept = join(results, 'service.cpuprofile')
  await copyFile(join(folder, name), kept)
  return kept
}

/** Functions by their share of the busy samples: those in which the function itself ran. */
async function hottest(path: string): Promise<Series[]> {
  const { nodes, samples } = JSON.parse(await readFile(path, 'utf8')) as CpuProfile
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      url === ''
        ? functionName || '(native)'
        : `${functionName || '(anonymous)'} ${basename(url)}:${lineNumber + 1}`,
    ]),
  )
  const counts = new Map<string, number>()
  for (const sample of samples) {
    const name = names.get(sample) ?? '?'
    if (name !== '(idle)') counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  const busy = [...counts.values()].reduce((sum, count) => sum + count, 0)
  return [...counts]
    .toSorted(([, one], [, other]) => other - one)
    .slice(0, SHOWN)
    .map(([contender, count]) => ({ contender, measure: 'self %', values: [(100 * count) / busy] }))
}
