import { type Load, startLoad } from './load/load.ts'
import { SET } from './load/workloads.ts'
import type { Bench } from './measure/finding.ts'
import { alternating, type Contenders, ratioOf, Rounds, type Sample } from './measure/rounds.ts'
import { type Build, ownBuild } from './project.ts'
import { checkOut } from './servers/checkout.ts'
import { Postgres } from './servers/postgres.ts'
import { type Service, startService } from './servers/service.ts'

const CONNECTIONS = 64
const EXECUTIONS = 1000
/** This is more than the operations of a round, so that rounds never meet the same batch. */
const A_ROUND = 500_000

const RATE = 'batches/s'
const SERVICE_CPU = 'service CPU µs/batch'
const POSTGRES_CPU = 'Postgres CPU µs/batch'

/** The work, the outcome that every batch must have, and the number of batches in a call. */
const kinds = {
  'claim, one a call': { workload: 'claim', expected: 'granted', batches: 1 },
  'decrement, one a call': { workload: 'decrement', expected: 'recorded', batches: 1 },
  [`claim, ${SET} a call`]: { workload: 'claimInSets', expected: 'granted', batches: SET },
  [`decrement, ${SET} a call`]: {
    workload: 'decrementInSets',
    expected: 'recorded',
    batches: SET,
  },
} as const
type Kind = (typeof kinds)[keyof typeof kinds]

const sizes = {
  small: { rounds: 2, seconds: 1 },
  full: { rounds: 7, seconds: 5 },
}

/** Judges a change: the working tree beside a commit. No published claim needs it, and it is run only by its name. */
export const builds: Bench = {
  claim: 'The working tree beside the commit of --against: claims and decrements in turns.',
  minutes: { small: 5, full: 40 },
  run: async setup => {
    const { size, scope, tell, against = 'HEAD' } = setup
    const { rounds, seconds } = sizes[size]
    tell(`compiling ${against}`)
    const old = await checkOut(scope, against)
    const postgres = await Postgres.start(scope)
    const load = startLoad(scope)
    const serve = async (build: Build) => {
      const service = await startService(scope, await postgres.database(), { build })
      await raise(load, service.origin)
      return service
    }
    const services = { old: await serve(old), new: await serve(ownBuild) }

    const contenders: Contenders = {}
    for (const [name, kind] of Object.entries(kinds)) {
      for (const [age, service] of Object.entries(services)) {
        contenders[`${age}: ${name}`] = round =>
          sampleOf({ kind, service, postgres, load, seconds, round })
      }
    }
    const measured = await Rounds.of(contenders, rounds, setup, alternating)
    const ratio = (name: string, measure: string) =>
      ratioOf(
        `new / old: ${name}, ${measure}`,
        measured.values(`new: ${name}`, measure),
        measured.values(`old: ${name}`, measure),
      )
    return {
      series: measured.series(),
      ratios: Object.keys(kinds).flatMap(name =>
        [RATE, SERVICE_CPU, POSTGRES_CPU].map(measure => ratio(name, measure)),
      ),
      notes: [
        `Old is ${old.commit}, new is the working tree; each is one process with a database of its own, which it migrated itself, on one Postgres.`,
        `${CONNECTIONS} connections over ${EXECUTIONS} executions with an open barrier. The rate is of the whole machine; CPU depends less on what else runs there.`,
      ],
    }
  },
}

async function raise(load: Load, origin: string): Promise<void> {
  for (const { workload } of Object.values(kinds)) {
    await load.run('requests', {
      workload: 'enqueue',
      origins: [origin],
      connections: CONNECTIONS,
      prefix: workload,
      executions: EXECUTIONS,
      count: EXECUTIONS,
      seconds: 60,
    })
  }
}

async function sampleOf({
  kind: { workload, expected, batches },
  service,
  postgres,
  load,
  seconds,
  round,
}: {
  kind: Kind
  service: Service
  postgres: Postgres
  load: Load
  seconds: number
  round: number
}): Promise<Sample> {
  const [serviceBefore, postgresBefore] = [await service.cpuSeconds(), await postgres.cpuSeconds()]
  const tally = await load.run('requests', {
    workload,
    origins: [service.origin],
    connections: CONNECTIONS,
    prefix: workload,
    executions: EXECUTIONS,
    first: round * A_ROUND,
    seconds,
  })
  const [serviceAfter, postgresAfter] = [await service.cpuSeconds(), await postgres.cpuSeconds()]
  if (tally.outcomes[expected] !== tally.operations) {
    throw new Error(`${workload}: ${JSON.stringify(tally.outcomes)}`)
  }
  const made = tally.operations * batches
  return {
    [RATE]: made / tally.seconds,
    [SERVICE_CPU]: ((serviceAfter - serviceBefore) * 1e6) / made,
    [POSTGRES_CPU]: ((postgresAfter - postgresBefore) * 1e6) / made,
    "generator's cores": tally.generatorCores,
  }
}
