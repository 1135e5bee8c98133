import { bullmqRun } from './bullmq.ts'
import { oldClaims, oldRun } from './old/old.ts'
import { pgBossRun } from './pg-boss.ts'
import { requests } from './requests.ts'
import { rollcallRun } from './rollcall-run.ts'
import { statements } from './statements.ts'

/** The jobs that the load generator can do. */
export const jobs = {
  requests,
  statements,
  rollcallRun,
  oldClaims,
  oldRun,
  bullmqRun,
  pgBossRun,
}

export type Jobs = typeof jobs
