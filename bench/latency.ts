import { startLoad } from './load/load.ts'
import type { Tally } from './load/tally.ts'
import type { Bench } from './measure/finding.ts'
import { ratioOf, Rounds, type Sample } from './measure/rounds.ts'
import { Postgres } from './servers/postgres.ts'
import { startBare, startService } from './servers/service.ts'

const EXECUTIONS = 1000
/** This is more than the operations of a round, so that rounds never meet the same batch. */
const A_ROUND = 400_000
const STEPS = ['claim', 'decrement'] as const

const sizes = {
  small: { rounds: 3, operations: 300, seconds: 2 },
  full: { rounds: 7, operations: 3000, seconds: 10 },
}

export const latency: Bench = {
  claim: 'A lone client waits little more than for its statement and for HTTP itself.',
  minutes: { small: 3, full: 20 },
  run: async setup => {
    const { size, scope } = setup
    const { rounds, operations, seconds } = sizes[size]
    const postgres = await Postgres.start(scope)
    const database = await postgres.database()
    const load = startLoad(scope)
    const service = await startService(scope, database)
    const bare = await startBare(scope)
    const spread = { prefix: 'latency', executions: EXECUTIONS }
    await load.run('requests', {
      ...spread,
      workload: 'enqueue',
      origins: [service.origin],
      connections: 16,
      count: EXECUTIONS,
      seconds: 60,
    })
    const work = { ...spread, workload: 'work' as const, connections: 1, count: operations }
    const alone = (origin: string, contender: number) => async (round: number) =>
      waits(
        await load.run('requests', {
          ...work,
          origins: [origin],
          first: firstOf(round, contender),
          seconds: 60,
        }),
      )
    const busy = { ...spread, workload: 'work' as const, origins: [service.origin], seconds }
    let topRate = 0

    const measured = await Rounds.of(
      {
        'rollcall, alone': alone(service.origin, 0),
        'statements, alone': async round =>
          waits(
            await load.run('statements', {
              ...spread,
              database,
              first: firstOf(round, 1),
              count: operations,
            }),
          ),
        'bare route, alone': alone(bare.origin, 0),
        'rollcall, top rate': async round => {
          const tally = await load.run('requests', {
            ...busy,
            connections: 64,
            first: firstOf(round, 2),
          })
          topRate = tally.operations / tally.seconds
          return { 'pairs/s': topRate, ...waits(tally) }
        },
        'rollcall, half of it': async round => {
          const tally = await load.run('requests', {
            ...busy,
            connections: 256,
            perSecond: topRate / 2,
            first: firstOf(round, 3),
          })
          return { 'pairs/s': tally.operations / tally.seconds, ...waits(tally) }
        },
      },
      rounds,
      setup,
    )
    const of = (contender: string, measure: string) => measured.values(contender, measure)
    return {
      series: measured.series(),
      ratios: STEPS.map(step => {
        const p50 = `${step} p50 ms`
        const bareRoute = of('bare route, alone', p50)
        const parts = of('statements, alone', p50).map(
          (statement, round) => statement + (bareRoute[round] ?? Number.NaN),
        )
        return ratioOf(
          `${step} p50: rollcall / (statement + bare route)`,
          of('rollcall, alone', p50),
          parts,
          step === 'claim' ? { most: 1.5 } : undefined,
        )
      }),
      notes: [
        'Alone: one client that claims and decrements. Half of the top rate: begun at that pace whatever is still open, and measured from when each was due.',
      ],
    }
  },
}

function firstOf(round: number, contender: number): number {
  return (round * 4 + contender) * A_ROUND
}

function waits({ latencies }: Tally): Sample {
  return Object.fromEntries(
    STEPS.flatMap(step => [
      [`${step} p50 ms`, latencies[step]?.p50Ms ?? Number.NaN],
      [`${step} p99 ms`, latencies[step]?.p99Ms ?? Number.NaN],
    ]),
  )
}
