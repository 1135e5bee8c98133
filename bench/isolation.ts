import { setTimeout as pause } from 'node:timers/promises'
import { startLoad } from './load/load.ts'
import type { Tally } from './load/tally.ts'
import type { Bench } from './measure/finding.ts'
import { ratioOf, Rounds, type Sample } from './measure/rounds.ts'
import { connected, Postgres } from './servers/postgres.ts'
import { startService } from './servers/service.ts'

const EXECUTIONS = 100
const A_ROUND = 1_000_000

const sizes = {
  small: { rounds: 1, seconds: 5, perSecond: 200, stops: [5] },
  full: { rounds: 5, seconds: 5, perSecond: 500, stops: [5, 15] },
}

export const isolation: Bench = {
  claim:
    'A locked barrier does not slow strangers down, and a database that hangs makes 503s and no queue.',
  minutes: { small: 3, full: 15 },
  run: async setup => {
    const { size, scope } = setup
    const { rounds, seconds, perSecond, stops } = sizes[size]
    const postgres = await Postgres.start(scope)
    const database = await postgres.database()
    const service = await startService(scope, database)
    const [strangers, locked] = [startLoad(scope), startLoad(scope)]
    const origins = [service.origin]
    for (const [prefix, executions] of [
      ['stranger', EXECUTIONS],
      ['locked', 1],
    ] as const) {
      await strangers.run('requests', {
        workload: 'enqueue',
        origins,
        connections: 8,
        prefix,
        executions,
        count: executions,
        seconds: 60,
      })
    }
    let first = 0
    const visit = (during: number) => {
      first += A_ROUND
      return strangers.run('requests', {
        workload: 'work',
        origins,
        // There is a connection for each request that may have to wait, so that the pace holds.
        connections: 512,
        prefix: 'stranger',
        executions: EXECUTIONS,
        first,
        seconds: during,
        perSecond,
      })
    }
    // The pace is the same with and without the lock: callers at full speed would slow down only the quiet round.
    const press = (round: number) =>
      locked.run('requests', {
        workload: 'decrement',
        origins,
        connections: 256,
        prefix: 'locked',
        executions: 1,
        first: round * 10_000,
        seconds,
        perSecond: 50,
      })
    const quiet = async (round: number): Promise<Sample> => {
      const [tally] = await Promise.all([visit(seconds), press(2 * round)])
      return waits(tally)
    }
    const whileLocked = (round: number): Promise<Sample> =>
      connected(database, async client => {
        await client.query('begin')
        await client.query(`select from barriers where execution_id = 'locked-0' for update`)
        const pressing = press(2 * round + 1)
        const tally = await visit(seconds)
        await client.query('rollback')
        const pressed = await pressing
        return { ...waits(tally), 'callers of the locked one: 503': pressed.outcomes['503'] ?? 0 }
      })
    const whileStopped =
      (stoppedSeconds: number) =>
      async (round: number): Promise<Sample> => {
        // This round needs no warm-up.
        if (round === 0) return {}
        const before = await service.memory()
        const visited = visit(stoppedSeconds + 4)
        // By then its connections are open.
        await pause(1500)
        const thaw = await postgres.freeze()
        scope.onEnd(async () => thaw())
        await pause(stoppedSeconds * 1000)
        const after = await service.memory()
        thaw()
        const tally = await visited
        return {
          answered: tally.operations,
          recorded: tally.outcomes['recorded'] ?? 0,
          'refused with 503': tally.outcomes['503'] ?? 0,
          'no answer': tally.outcomes['no answer'] ?? 0,
          'longest wait ms': Math.max(...Object.values(tally.latencies).map(({ maxMs }) => maxMs)),
          'memory before MiB': before.nowMiB,
          'memory after MiB': after.nowMiB,
        }
      }
    const measured = await Rounds.of(
      {
        'no lock': quiet,
        'one barrier locked': whileLocked,
        ...Object.fromEntries(
          stops.map(stop => [`database stopped for ${stop} s`, whileStopped(stop)]),
        ),
      },
      rounds,
      setup,
    )
    return {
      series: measured.series(),
      ratios: ['claim', 'decrement'].map(step =>
        ratioOf(
          `strangers' ${step} p99: locked / no lock`,
          measured.values('one barrier locked', `${step} p99 ms`),
          measured.values('no lock', `${step} p99 ms`),
          { most: 3 },
        ),
      ),
      notes: [
        `Strangers begin ${perSecond} pairs of claim and decrement a second over ${EXECUTIONS} barriers, beside 50 decrements a second on the barrier that gets locked. Waits count from when a pair was due.`,
      ],
    }
  },
}

function waits({ latencies, outcomes, operations }: Tally): Sample {
  return {
    'claim p50 ms': latencies['claim']?.p50Ms ?? Number.NaN,
    'claim p99 ms': latencies['claim']?.p99Ms ?? Number.NaN,
    'decrement p50 ms': latencies['decrement']?.p50Ms ?? Number.NaN,
    'decrement p99 ms': latencies['decrement']?.p99Ms ?? Number.NaN,
    'not recorded': operations - (outcomes['recorded'] ?? 0),
  }
}
