import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { project } from '../project.ts'

const run = promisify(execFile)

/** The client through which BullMQ speaks to Redis counts too. */
const PEERS = ['bullmq', 'ioredis', 'pg-boss']

/** The machine on which a result was measured; without it a figure means nothing. */
export async function machine(postgres: string) {
  const [processor] = cpus()
  return {
    cpu: processor?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    postgres,
    redis: await versionOf('redis-server'),
    pgbench: await versionOf('pgbench'),
    peers: await peers(),
    commit: await commit(),
  }
}

export type Machine = Awaited<ReturnType<typeof machine>>

async function versionOf(program: string): Promise<string> {
  const said = await run(program, ['--version']).catch(() => undefined)
  return /\d+\.\d+(\.\d+)?/.exec(said?.stdout ?? '')?.[0] ?? 'absent'
}

async function peers(): Promise<Record<string, string | undefined>> {
  const manifest = await readFile(join(project, 'bench', 'package.json'), 'utf8')
  const { devDependencies: versions } = JSON.parse(manifest) as {
    devDependencies: Record<string, string>
  }
  return Object.fromEntries(PEERS.map(name => [name, versions[name]]))
}

async function commit(): Promise<string> {
  const head = (await git('rev-parse', '--short', 'HEAD'))?.trim() ?? 'unknown'
  // The results that a run writes do not change the code that it measures.
  const changes = await git('status', '--porcelain', '--', ':!bench/results')
  return changes === '' ? head : `${head}, with changes`
}

async function git(...args: string[]): Promise<string | undefined> {
  const said = await run('git', ['-C', project, ...args]).catch(() => undefined)
  return said?.stdout
}
