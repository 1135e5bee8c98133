import { setTimeout as pause } from 'node:timers/promises'
import { startLoad } from './load/load.ts'
import type { Spread } from './load/workloads.ts'
import type { Bench, Setup } from './measure/finding.ts'
import { ratioOf, Rounds, type Sample } from './measure/rounds.ts'
import { connected, Postgres } from './servers/postgres.ts'
import { startService } from './servers/service.ts'

const BULK = 1000
const QUEUE = 'growth'
const COST = 'µs/batch'
const CALL = 'p50 ms/call'
/** Without a warm-up, code that is not compiled yet would make the short runs expensive. */
const WARM_UP_CALLS = 20

interface Shape {
  executions: number
  batches: number
  connections: number
}

const one = (batches: number): Shape => ({ executions: 1, batches, connections: 1 })

const shapes: Record<string, Shape> = {
  // Twenty runs one after the other, because one is over in a single call.
  '1,000 batches': { ...one(1000), executions: 20 },
  '10,000 batches': one(10_000),
  '100,000 batches': one(100_000),
}
const million: Record<string, Shape> = { '1,000,000 batches': one(1_000_000) }
const wide: Record<string, Shape> = {
  '1,000 barriers at once': { executions: 1000, batches: 1000, connections: 64 },
}

const sizes = {
  small: { rounds: 1, shapes },
  full: { rounds: 5, shapes: { ...shapes, ...million, ...wide } },
}

export const growth: Bench = {
  claim:
    'A batch costs the same in a barrier of a thousand and of a million, and the memory of the service does not grow.',
  minutes: { small: 4, full: 120 },
  run: async setup => {
    const { rounds, shapes: wanted } = sizes[setup.size]
    const postgres = await Postgres.start(setup.scope)
    const measured = await Rounds.of(
      Object.fromEntries(
        Object.entries(wanted).map(([name, shape]) => [
          name,
          // Each begins with a warm-up of its own, because its database and its service are new.
          async (round: number) => (round === 0 ? {} : fill(setup, postgres, shape)),
        ]),
      ),
      rounds,
      setup,
    )
    const base = measured.values('1,000 batches', COST)
    return {
      series: measured.series(),
      ratios: Object.keys(wanted)
        .filter(name => name !== '1,000 batches')
        .map(name =>
          ratioOf(
            `cost in ${name} / in 1,000`,
            measured.values(name, COST),
            base,
            name in wide ? undefined : { most: 1.25 },
          ),
        )
        .concat(
          Object.keys(wanted)
            .filter(name => (wanted[name]?.batches ?? 0) >= 100_000)
            .map(name =>
              ratioOf(
                `last tenth / first tenth of ${name}`,
                measured.values(name, `last tenth, ${CALL}`),
                measured.values(name, `first tenth, ${CALL}`),
                { most: 1.25 },
              ),
            ),
        ),
      notes: [
        'Recorded by barrier/decrements, 1,000 a call, results of 100 bytes. Each row in a new database with a new service, so that sizes and memory are its own.',
      ],
    }
  },
}

/** Fills barriers of one shape to the last batch, and measures the effect. */
async function fill(
  { scope: whole }: Setup,
  postgres: Postgres,
  { executions, batches, connections }: Shape,
): Promise<Sample> {
  const scope = whole.inner()
  try {
    const database = await postgres.database()
    const service = await startService(scope, database)
    const load = startLoad(scope)
    const raise = (spread: Spread, total: number) =>
      load.run('requests', {
        ...spread,
        ...from,
        workload: 'enqueue',
        total,
        count: spread.executions,
        seconds: 60,
      })
    const from = { origins: [service.origin], connections }
    const warm = { prefix: 'warm', executions: 1 }
    await raise(warm, WARM_UP_CALLS * BULK)
    const bulk = { ...from, workload: 'bulk' as const, seconds: 1800 }
    await load.run('requests', { ...bulk, ...warm, count: WARM_UP_CALLS })
    const spread = { prefix: 'growth', executions }
    await raise({ ...spread, queue: QUEUE }, batches)
    const before = await postgres.walBytes()
    const calls = { ...bulk, ...spread }
    const count = (executions * batches) / BULK
    const tenth = Math.floor(count / 10)
    // Three orders of calls, to see whether the last ones are as cheap as the first.
    const first = await load.run('requests', { ...calls, count: tenth })
    const middle = await load.run('requests', { ...calls, first: tenth, count: count - 2 * tenth })
    const last = await load.run('requests', { ...calls, first: count - tenth, count: tenth })
    const seconds = first.seconds + middle.seconds + last.seconds
    const wal = (await postgres.walBytes()) - before
    const total = executions * batches
    // A receiver takes the callback, and then the results that do not fit into its message.
    const all = { ...from, ...spread, connections: 4, count: executions, seconds: 600 }
    const taken = await load.run('requests', { ...all, workload: 'callback', queue: QUEUE })
    const read = await load.run('requests', { ...all, workload: 'pages' })
    if (taken.outcomes['200'] !== executions || read.outcomes['read'] !== executions) {
      throw new Error(`Not all arrived: ${JSON.stringify([taken.outcomes, read.outcomes])}.`)
    }
    const { highestMiB } = await service.memory()
    return {
      [COST]: (seconds / total) * 1e6,
      ...(tenth >= 10 && {
        [`first tenth, ${CALL}`]: first.latencies['decrements']?.p50Ms ?? Number.NaN,
        [`last tenth, ${CALL}`]: last.latencies['decrements']?.p50Ms ?? Number.NaN,
      }),
      'WAL bytes/batch': wal / total,
      'µs/batch to read': (read.seconds / total) * 1e6,
      'service VmHWM MiB': highestMiB,
      ...(await sizesOf(database, total + WARM_UP_CALLS * BULK)),
      ...(await retained(database, total + WARM_UP_CALLS * BULK)),
    }
  } finally {
    await scope.end()
  }
}

/** Acts as if the time of retention had passed: the service's own reaper forgets the batches, and a vacuum gives back the space. */
async function retained(database: string, total: number): Promise<Sample> {
  return connected(database, async client => {
    await client.query(
      `update barriers set closed_at = closed_at - interval '8 days',
        callback_settled_at = callback_settled_at - interval '8 days'`,
    )
    const begin = performance.now()
    for (let left = true; left;) {
      await pause(250)
      const { rows } = await client.query<{ left: boolean }>(
        'select exists (select from batches) as left',
      )
      left = rows[0]?.left ?? false
      if (performance.now() - begin > 900_000) throw new Error('Retention does not come to an end.')
    }
    const seconds = (performance.now() - begin) / 1000
    await client.query('vacuum batches')
    const { rows } = await client.query<{ bytes: string }>(
      `select pg_table_size('batches') + pg_indexes_size('batches') as bytes`,
    )
    return {
      'µs/batch to forget': (seconds / total) * 1e6,
      'bytes/batch after retention': Number(rows[0]?.bytes) / total,
    }
  })
}

async function sizesOf(database: string, total: number): Promise<Sample> {
  return connected(database, async client => {
    // The counters of a session reach the view at most a second after it is idle or gone.
    await client.query(`select pg_sleep(1.1), pg_stat_clear_snapshot()`)
    const { rows } = await client.query<{ heap: string; index: string; hot: string; open: string }>(
      `select
        pg_table_size('batches') as heap,
        pg_indexes_size('batches') as index,
        (select n_tup_hot_upd::float / nullif(n_tup_upd, 0) from pg_stat_user_tables where relname = 'barriers') as hot,
        (select count(*) from barriers where state <> 'completed') as open`,
    )
    const [row] = rows
    if (Number(row?.open) > 0) throw new Error(`${row?.open} barriers did not complete.`)
    return {
      'table bytes/batch': Number(row?.heap) / total,
      'index bytes/batch': Number(row?.index) / total,
      'heap-only part of barrier updates': Number(row?.hot ?? Number.NaN),
    }
  })
}
