import { jobs } from './jobs.ts'

interface Order {
  id: number
  job: keyof typeof jobs
  order: never
}

/** The load generator: a process of its own that takes orders from its parent and ends with it. */
process.on('message', async ({ id, job, order }: Order) => {
  try {
    process.send?.({ id, tally: await jobs[job](order) })
  } catch (error) {
    process.send?.({ id, failure: error instanceof Error ? error.stack : String(error) })
  }
})
process.on('disconnect', () => process.exit())
