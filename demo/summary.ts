import type { BatchSum } from './checksum.ts'
import type { Attempt } from './inbox.ts'
import type { Counts } from './tally.ts'

const MEGABYTE = 1_000_000

/** The summary of a run: the files read, and the events in queue and workers. */
export interface Summary extends Counts {
  identical: boolean
  files: number
  unreadable: number
  bytes: number
  deliveries: number
  seconds: number
  callback: {
    attempts: Attempt[]
    /** The faults of the callback, a sentence each. */
    faults: string[]
  }
}

export function totals(sums: BatchSum[]): Pick<Summary, 'files' | 'unreadable' | 'bytes'> {
  const total = { files: 0, unreadable: 0, bytes: 0 }
  for (const { files, unreadable, bytes } of sums) {
    total.files += files
    total.unreadable += unreadable
    total.bytes += bytes
  }
  return total
}

export function inWords(summary: Summary): string {
  const { files, unreadable, bytes, batches, deliveries, seconds } = summary
  const { granted, taken_over, fenced, needless, given_back } = summary
  const megabytes = (bytes / MEGABYTE).toFixed(1)
  const lines = [
    [
      'read',
      `${files} files, ${unreadable} of them unreadable, ${megabytes} MB in ${batches} batches`,
    ],
    ['claims', `${granted} granted, ${taken_over} of them taken over`],
    ['decrements', `${summary.finished} counted, ${fenced} fenced`],
    [
      'deliveries',
      `${deliveries}: ${needless} acknowledged without work, ${given_back} given back`,
    ],
    ['time', `${seconds.toFixed(1)} s`],
    ['callback', attemptsInWords(summary.callback)],
  ]
  return lines.map(([name = '', value = '']) => `  ${name.padEnd(12)}${value}\n`).join('')
}

function attemptsInWords({ attempts, faults }: Summary['callback']): string {
  const distinct = (name: 'webhook_id' | 'signature') =>
    [...new Set(attempts.map(attempt => attempt[name]))].join(', ')
  const bodies = new Set(attempts.map(({ sha256 }) => sha256)).size
  const parts = [
    `${attempts.length} deliveries of ${distinct('webhook_id')}`,
    `answered ${attempts.map(({ status }) => status).join(', ')}`,
    bodies === 1 ? 'the same bytes each time' : `${bodies} different bodies`,
    `signature ${distinct('signature')}`,
    faults.length === 0 ? 'as it has to be' : 'faulty',
  ]
  return parts.join('; ')
}
