import { startLoad } from './load/load.ts'
import type { Bench } from './measure/finding.ts'
import { type Contenders, ratioOf, Rounds } from './measure/rounds.ts'
import { Postgres } from './servers/postgres.ts'
import { type Service, startService } from './servers/service.ts'

const CONNECTIONS = 64
const MOST = 4
const EXECUTIONS = 1000
const A_ROUND = 500_000
const RATE = 'pairs/s'

const sizes = {
  small: { rounds: 2, seconds: 1 },
  full: { rounds: 5, seconds: 5 },
}

export const replicas: Bench = {
  claim:
    'One, two and four service processes on one database: what each adds, spread out and on one hot barrier.',
  minutes: { small: 2, full: 15 },
  run: async setup => {
    const { size, scope } = setup
    const { rounds, seconds } = sizes[size]
    const postgres = await Postgres.start(scope)
    const database = await postgres.database()
    const load = startLoad(scope)
    const services: Service[] = []
    for (let replica = 0; replica < MOST; replica += 1)
      services.push(await startService(scope, database))
    const origins = services.map(({ origin }) => origin)
    const connections = CONNECTIONS

    await load.run('requests', {
      workload: 'enqueue',
      origins,
      connections,
      prefix: 'spread',
      executions: EXECUTIONS,
      count: EXECUTIONS,
      seconds: 60,
    })
    const contenders: Contenders = {}
    for (const [kind, executions] of [
      ['spread', EXECUTIONS],
      ['hot', 1],
    ] as const) {
      for (const [place, processes] of [1, 2, 4].entries()) {
        contenders[`${kind}, ${processes} of ${MOST}`] = async round => {
          // A barrier holds at most a million batches, so the hot one is a new one each time.
          const prefix = kind === 'hot' ? `hot-${processes}-${round}` : kind
          const part = { origins: origins.slice(0, processes), connections, prefix, executions }
          if (kind === 'hot')
            await load.run('requests', { ...part, workload: 'enqueue', count: 1, seconds: 60 })
          const tally = await load.run('requests', {
            ...part,
            workload: 'work',
            first: kind === 'hot' ? 0 : (round * 3 + place) * A_ROUND,
            seconds,
          })
          const others = tally.operations - (tally.outcomes['recorded'] ?? 0)
          if (others > 0) throw new Error(JSON.stringify(tally.outcomes))
          return {
            [RATE]: tally.operations / tally.seconds,
            'decrement p99 ms': tally.latencies['decrement']?.p99Ms ?? Number.NaN,
            "generator's cores": tally.generatorCores,
          }
        }
      }
    }
    const measured = await Rounds.of(contenders, rounds, setup)
    const ratio = (kind: string, processes: number) =>
      ratioOf(
        `${kind}: ${processes} processes / 1`,
        measured.values(`${kind}, ${processes} of ${MOST}`, RATE),
        measured.values(`${kind}, 1 of ${MOST}`, RATE),
      )
    return {
      series: measured.series(),
      ratios: ['spread', 'hot'].flatMap(kind => [ratio(kind, 2), ratio(kind, 4)]),
      notes: [
        `A pair is a claim and its decrement. ${CONNECTIONS} connections in turn on the processes; spread is over ${EXECUTIONS} barriers, hot is one. Where cores are fewer than processes they share them.`,
      ],
    }
  },
}
