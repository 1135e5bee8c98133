import { type Load, startLoad } from './load/load.ts'
import type { Tally } from './load/tally.ts'
import { SET } from './load/workloads.ts'
import type { Bench } from './measure/finding.ts'
import { type Contenders, ratioOf, Rounds } from './measure/rounds.ts'
import { isPgbenchThere, oldTables, pgbench } from './servers/pgbench.ts'
import { connected, Postgres } from './servers/postgres.ts'
import { startBare, startService, startUnshared } from './servers/service.ts'

const CONNECTIONS = 64
const EXECUTIONS = 1000
/** Batches 0 to 9 of each execution are finished before the redeliveries begin. */
const FINISHED = 10
/** This is more than the operations of a round, so that rounds never claim the same batch. */
const A_ROUND = 500_000
const RATE = 'claims/s'
const IN_SETS = `rollcall, ${SET} a call`

const sizes = {
  small: { rounds: 2, seconds: 1 },
  full: { rounds: 7, seconds: 5 },
}

export const claims: Bench = {
  claim:
    'Claims over HTTP are as fast as one-row claims sent straight to Postgres, and redeliveries write nothing.',
  minutes: { small: 3, full: 20 },
  run: async setup => {
    const { size, scope } = setup
    const { rounds, seconds } = sizes[size]
    const postgres = await Postgres.start(scope)
    const database = await postgres.database()
    await connected(database, client => client.query(oldTables))
    const load = startLoad(scope)
    const service = await startService(scope, database)
    const unshared = await startUnshared(scope, database)
    const bare = await startBare(scope)
    await raise(load, service.origin)
    await finishSome(load, service.origin, database)

    const claimsOf = (
      workload: 'claim' | 'claimInSets' | 'redelivery' | 'finished',
      origin: string,
      prefix: string,
    ) => {
      return async (round: number) => {
        const walBefore = await postgres.walBytes()
        const tally = await load.run('requests', {
          workload,
          origins: [origin],
          connections: CONNECTIONS,
          prefix,
          executions: EXECUTIONS,
          // The first round's range would otherwise meet the finished batches.
          first: FINISHED * EXECUTIONS + round * A_ROUND,
          seconds,
        })
        refuseUnlessAll(tally, workload)
        const made = tally.operations * (workload === 'claimInSets' ? SET : 1)
        return {
          [RATE]: made / tally.seconds,
          'WAL bytes/claim': ((await postgres.walBytes()) - walBefore) / made,
          'p99 ms': tally.latencies['claim']?.p99Ms ?? Number.NaN,
          "generator's cores": tally.generatorCores,
        }
      }
    }
    const direct = await oldContenders({ database, load, seconds })
    const measured = await Rounds.of(
      {
        rollcall: claimsOf('claim', service.origin, 'fresh'),
        [IN_SETS]: claimsOf('claimInSets', service.origin, 'sets'),
        ...direct,
        'bare route': claimsOf('claim', bare.origin, 'bare'),
        'sharing off': claimsOf('claim', unshared.origin, 'unshared'),
        '90 % redeliveries': claimsOf('redelivery', service.origin, 'again'),
        'redeliveries alone': claimsOf('finished', service.origin, 'again'),
      },
      rounds,
      setup,
    )
    const best = measured.best(Object.keys(direct), RATE)
    const rollcall = measured.values('rollcall', RATE)
    return {
      series: measured.series(),
      ratios: [
        ratioOf(`rollcall / ${best}`, rollcall, measured.values(best, RATE), { least: 1 }),
        ratioOf(
          `${IN_SETS} / ${best}`,
          measured.values(IN_SETS, RATE),
          measured.values(best, RATE),
          { least: 1 },
        ),
        ratioOf('rollcall / bare route', rollcall, measured.values('bare route', RATE), {
          least: 0.6,
        }),
        ratioOf('rollcall / sharing off', rollcall, measured.values('sharing off', RATE)),
        ratioOf('90 % redeliveries / fresh', measured.values('90 % redeliveries', RATE), rollcall),
      ],
      notes: [
        `${CONNECTIONS} connections over ${EXECUTIONS} executions with an open barrier; the sharing-off service has a pool of 16.`,
        ...((await isPgbenchThere())
          ? []
          : ['pgbench is not on the PATH; a client on node sent the old claims instead.']),
      ],
    }
  },
}

/** Every claim of a round must have the outcome that the round is about. */
function refuseUnlessAll({ outcomes }: Tally, workload: string): void {
  const expected = new Set(workload.startsWith('claim') ? ['granted'] : ['granted', 'finished'])
  const others = Object.keys(outcomes).filter(outcome => !expected.has(outcome))
  if (others.length > 0) throw new Error(`${workload}: ${JSON.stringify(outcomes)}`)
}

async function raise(load: Load, origin: string): Promise<void> {
  for (const prefix of ['fresh', 'sets', 'unshared', 'again']) {
    await load.run('requests', {
      workload: 'enqueue',
      origins: [origin],
      connections: CONNECTIONS,
      prefix,
      executions: EXECUTIONS,
      count: EXECUTIONS,
      seconds: 60,
    })
  }
}

async function finishSome(load: Load, origin: string, database: string): Promise<void> {
  await load.run('requests', {
    workload: 'decrement',
    origins: [origin],
    connections: CONNECTIONS,
    prefix: 'again',
    executions: EXECUTIONS,
    count: FINISHED * EXECUTIONS,
    seconds: 60,
  })
  // The first read of a row marks it as committed. With data checksums that is a write, which redeliveries should not pay for.
  await connected(database, client => client.query('vacuum batches, barriers'))
}

async function oldContenders({
  database,
  load,
  seconds,
}: {
  database: string
  load: Load
  seconds: number
}): Promise<Contenders> {
  const hasPgbench = await isPgbenchThere()
  const name = hasPgbench ? 'pgbench' : 'old claims'
  return Object.fromEntries(
    [8, 32, 64].map(clients => [
      `${name}, ${clients} clients`,
      async (round: number) => {
        const run = `${clients}-${round}`
        if (hasPgbench) return { [RATE]: await pgbench(database, { clients, seconds, run }) }
        const tally = await load.run('oldClaims', {
          database,
          name: run,
          workers: clients,
          batches: A_ROUND,
          seconds,
        })
        return { [RATE]: tally.operations / tally.seconds }
      },
    ]),
  )
}
