import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { project } from '../project.ts'

const run = promisify(execFile)
const script = join(project, 'bench', 'load', 'old', 'claim.pgbench.sql')

export const oldTables = readFileSync(new URL('../load/old/tables.sql', import.meta.url), 'utf8')

export async function isPgbenchThere(): Promise<boolean> {
  return run('pgbench', ['--version']).then(
    () => true,
    () => false,
  )
}

interface Wish {
  clients: number
  seconds: number
  /** Names the executions, so that every claim is of a fresh batch. */
  run: string
}

/** Runs one-row claims of the old primitive, prepared, in Postgres' own load generator. Returns the claims per second. */
export async function pgbench(
  database: string,
  { clients, seconds, run: name }: Wish,
): Promise<number> {
  const { stdout } = await run('pgbench', [
    '--no-vacuum',
    '--protocol=prepared',
    `--client=${clients}`,
    `--jobs=${Math.min(clients, 2)}`,
    `--time=${seconds}`,
    '--define=n=-1',
    `--define=clients=${clients}`,
    `--define=run=${name}`,
    `--file=${script}`,
    database,
  ])
  const rate = /tps = ([\d.]+) \(without initial connection time\)/.exec(stdout)?.[1]
  if (rate === undefined) throw new Error(`pgbench said no rate: ${stdout}`)
  return Number(rate)
}
