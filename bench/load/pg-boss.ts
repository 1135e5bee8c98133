import { setTimeout as pause } from 'node:timers/promises'
import { peer } from './peer.ts'
import { Counter, type Tally } from './tally.ts'
import { RESULT } from './workloads.ts'

export interface PgBossOrder {
  database: string
  name: string
  batches: number
  workers: number
  /** `each`: every batch stores its own result. `none`: a fetched set is completed at once without results. */
  results: 'each' | 'none'
}

interface Boss {
  start: () => Promise<unknown>
  stop: (options: object) => Promise<void>
  on: (event: 'error', hear: (error: Error) => void) => void
  createQueue: (name: string) => Promise<void>
  insert: (jobs: object[]) => Promise<void>
  send: (name: string, data: object) => Promise<unknown>
  fetch: (name: string, options?: object) => Promise<{ id: string }[]>
  complete: (name: string, id: string | string[], output?: object) => Promise<void>
  getQueueSize: (name: string, options: object) => Promise<number>
}

/** How many batches one fetch takes: 64 workers and 10,000 batches make about three rounds of this. */
const FETCHED = 50

/** How often the producer checks whether all batches are completed. */
const LOOK_EVERY_MS = 20

/**
 * The same job on pg-boss, which has no barrier. So the producer checks how many batches are not completed, and then sends the
 * callback job. Workers fetch sets in a loop of their own, because `work` rests for half a second after each set.
 */
export async function pgBossRun(order: PgBossOrder): Promise<Tally> {
  const { database, name, batches, workers, results } = order
  const { default: PgBoss } = await peer<{ default: new (options: object) => Boss }>('pg-boss')
  const boss = new PgBoss({
    connectionString: database,
    max: workers,
    supervise: false,
    schedule: false,
  })
  boss.on('error', error => process.stderr.write(`${error.message}\n`))
  await boss.start()
  // The queues are created one after the other, because at the same time they deadlock.
  await boss.createQueue(`${name}-batches`)
  await boss.createQueue(`${name}-callback`)
  const counter = new Counter()
  const result = JSON.parse(RESULT) as object
  const begin = performance.now()
  await boss.insert(
    Array.from({ length: batches }, (_, batch_index) => ({
      name: `${name}-batches`,
      data: { batch_index },
    })),
  )
  const work = async () => {
    for (;;) {
      const jobs = await boss.fetch(`${name}-batches`, { batchSize: FETCHED })
      if (jobs.length === 0) return
      const ids = jobs.map(job => job.id)
      if (results === 'none') await boss.complete(`${name}-batches`, ids)
      else await Promise.all(ids.map(id => boss.complete(`${name}-batches`, id, result)))
      for (const _ of ids) counter.count('recorded')
    }
  }
  const watch = async () => {
    while ((await boss.getQueueSize(`${name}-batches`, { before: 'completed' })) > 0)
      await pause(LOOK_EVERY_MS)
    await boss.send(`${name}-callback`, {})
    while ((await boss.fetch(`${name}-callback`)).length === 0) await pause(LOOK_EVERY_MS)
  }
  await Promise.all([watch(), ...Array.from({ length: workers }, work)])
  const tally = { ...counter.tally(), seconds: (performance.now() - begin) / 1000 }
  await boss.stop({ graceful: false })
  return tally
}
