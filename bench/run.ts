import { startLoad, type Load } from './load/load.ts'
import { SET } from './load/workloads.ts'
import type { Tally } from './load/tally.ts'
import type { Bench } from './measure/finding.ts'
import { type Contenders, ratioOf, Rounds, type Sample } from './measure/rounds.ts'
import type { Scope } from './measure/scope.ts'
import { oldTables } from './servers/pgbench.ts'
import { connected, Postgres } from './servers/postgres.ts'
import { isRedisThere, startRedis } from './servers/redis.ts'
import { startService } from './servers/service.ts'

const WORKERS = 64
const RATE = 'batches/s'
const IN_SETS = `rollcall, ${SET} a call`

const sizes = {
  small: { rounds: 2, batches: 1000, seconds: 20 },
  full: { rounds: 5, batches: 10_000, seconds: 600 },
}

export const run: Bench = {
  claim:
    'A run of 10,000 batches, from enqueue to callback, is at least a hundred times faster than the old two statements.',
  minutes: { small: 4, full: 90 },
  run: async setup => {
    const { size, scope } = setup
    const { rounds, batches, seconds } = sizes[size]
    const postgres = await Postgres.start(scope)
    const database = await postgres.database()
    await connected(database, client => client.query(oldTables))
    const load = startLoad(scope)
    const service = await startService(scope, database)
    const order = { batches, workers: WORKERS, seconds }
    const { contenders, notes } = await peersOf(scope, load, await postgres.database(), batches)
    const measured = await Rounds.of(
      {
        rollcall: async round =>
          wholeRun(
            await load.run('rollcallRun', {
              ...order,
              origin: service.origin,
              name: `run-${round}`,
            }),
            batches,
          ),
        [IN_SETS]: async round =>
          wholeRun(
            await load.run('rollcallRun', {
              ...order,
              origin: service.origin,
              name: `sets-${round}`,
              inSets: true,
            }),
            batches,
          ),
        'old two statements': async round => {
          // The first round only warms up, so it is kept short.
          const some = round === 0 ? Math.min(batches, 500) : batches
          return wholeRun(
            await load.run('oldRun', { ...order, batches: some, database, name: `run-${round}` }),
            some,
          )
        },
        ...contenders,
      },
      rounds,
      setup,
    )
    const others = ['old two statements', ...Object.keys(contenders)]
    return {
      series: measured.series(),
      ratios: ['rollcall', IN_SETS].flatMap(ours =>
        others.map(name =>
          ratioOf(
            `${ours} / ${name}`,
            measured.values(ours, RATE),
            measured.values(name, RATE),
            // With a thousand batches their array of results is still short.
            name === 'old two statements' && size === 'full' ? { least: 100 } : undefined,
          ),
        ),
      ),
      notes: [
        `${batches} batches with results of 100 bytes, ${WORKERS} workers, from enqueue to the arrival of the callback.`,
        'Rollcall, the old statements and pg-boss: Postgres with fsync and synchronous_commit on.',
        `The old statements are cut after ${seconds} s; done says which part of the batches they got to, and their rate falls on.`,
        ...notes,
      ],
    }
  },
}

function wholeRun({ operations, seconds, generatorCores }: Tally, batches: number): Sample {
  return {
    [RATE]: operations / seconds,
    seconds,
    done: operations / batches,
    "generator's cores": generatorCores,
  }
}

async function peersOf(
  scope: Scope,
  load: Load,
  database: string,
  batches: number,
): Promise<{ contenders: Contenders; notes: string[] }> {
  const contenders: Contenders = {}
  const notes: string[] = []
  if (await isRedisThere()) {
    for (const fsync of ['always', 'everysec'] as const) {
      const port = await startRedis(scope, fsync)
      contenders[`bullmq, appendfsync ${fsync}`] = async round => {
        const tally = await load.run('bullmqRun', {
          port,
          name: `run-${round}`,
          batches,
          workers: WORKERS,
        })
        return wholeRun(tally, batches)
      }
    }
    notes.push(
      'BullMQ: a flow, 4 workers of concurrency 16, jobs removed when done. With appendfsync everysec a crash loses up to a second of acknowledged writes.',
    )
  } else {
    notes.push('BullMQ is left out: redis-server is not on the PATH.')
  }
  for (const results of ['each', 'none'] as const) {
    contenders[results === 'each' ? 'pg-boss' : 'pg-boss without results'] = async round => {
      const tally = await load.run('pgBossRun', {
        database,
        name: `run-${results}-${round}`,
        batches,
        workers: WORKERS,
        results,
      })
      return wholeRun(tally, batches)
    }
  }
  notes.push(
    'pg-boss 10, the last for Node 20: fetches of 50 and a pool of 64. A set that is completed at once can store no results of its own, hence the two rows.',
  )
  return { contenders, notes }
}
