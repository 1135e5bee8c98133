import { bullmqRun } from './bullmq.ts'
import { oldClaims, oldRun } from './old/old.ts'
import { pgBossRun } from './pg-boss.ts'
import { requests } from './requests.ts'
import { rollcallRun } from './rollcall-run.ts'
import { statements } from './statements.ts'

/** What the load generator can be told to do. */
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
