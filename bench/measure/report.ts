import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { project } from '../project.ts'
import type { Finding, Ratio, Size } from './finding.ts'
import type { Machine } from './machine.ts'
import { median } from './rounds.ts'

export interface Report extends Finding {
  bench: string
  claim: string
  size: Size
  measured_at: string
  seconds: number
  machine: Machine
}

/** Keeps the last full run of each bench; a small run is not kept. */
export async function keep(report: Report): Promise<void> {
  const folder = join(project, 'bench', 'results')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${report.bench}.json`), `${JSON.stringify(report, null, 2)}\n`)
}

const HEAD = ['bench', 'contender', 'measure', 'median', 'min .. max', 'goal']

/** One table for all benches: first the measurements, then the ratios, then the set-up. */
export function table(reports: readonly Report[]): string {
  const rows = reports.flatMap(({ bench, series, ratios }) => [
    ...series.map(({ contender, measure, values }) => [
      bench,
      contender,
      measure,
      ...spread(values),
      '',
    ]),
    ...ratios.map(ratio => [bench, ratio.name, 'ratio', ...spread(ratio.values), verdict(ratio)]),
  ])
  const widths = HEAD.map((title, column) =>
    Math.max(title.length, ...rows.map(row => row[column]?.length ?? 0)),
  )
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return column === 3 ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  const notes = reports.flatMap(report => report.notes.map(note => `${report.bench}: ${note}`))
  return [line(HEAD), ...rows.map(line), '', ...notes, ''].join('\n')
}

function spread(values: readonly number[]): [string, string] {
  return [
    shown(median(values)),
    values.length === 1 ? '' : `${shown(Math.min(...values))} .. ${shown(Math.max(...values))}`,
  ]
}

function shown(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { maximumFractionDigits: digits })
}

function verdict({ values, goal }: Ratio): string {
  if (!goal) return ''
  const middle = median(values)
  return 'least' in goal
    ? `>= ${goal.least}: ${middle >= goal.least ? 'met' : 'missed'}`
    : `<= ${goal.most}: ${middle <= goal.most ? 'met' : 'missed'}`
}
