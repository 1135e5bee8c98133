import { EventEmitter, once } from 'node:events'
import { Counter, type Tally } from './tally.ts'
import { peer } from './peer.ts'
import { RESULT } from './workloads.ts'

export interface BullmqOrder {
  port: number
  name: string
  batches: number
  workers: number
}

interface Closable {
  close: () => Promise<void>
}

interface Bullmq {
  FlowProducer: new (options: object) => Closable & { add: (flow: object) => Promise<unknown> }
  Worker: new (
    queue: string,
    work: (job: { getChildrenValues: () => Promise<object> }) => Promise<unknown>,
    options: object,
  ) => Closable & {
    waitUntilReady: () => Promise<unknown>
    on: (event: 'error', hear: (error: Error) => void) => void
  }
}

/** How many workers share the `workers` jobs at a time. */
const INSTANCES = 4

/**
 * The same job as a flow: BullMQ runs the parent when all its children are done, and the parent reads their results.
 * As its documentation advises, there are several workers of high concurrency, and finished jobs are removed.
 */
export async function bullmqRun({ port, name, batches, workers }: BullmqOrder): Promise<Tally> {
  const { FlowProducer, Worker } = await peer<Bullmq>('bullmq')
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
  const counter = new Counter()
  const arrival = new EventEmitter()

  const started: Closable[] = []
  const worker = (
    queue: string,
    work: ConstructorParameters<Bullmq['Worker']>[1],
    concurrency: number,
  ) => {
    const made = new Worker(queue, work, { connection, concurrency })
    made.on('error', error => process.stderr.write(`${error.message}\n`))
    started.push(made)
    return made.waitUntilReady()
  }
  const result = JSON.parse(RESULT) as unknown
  await Promise.all(
    Array.from({ length: INSTANCES }, () =>
      worker(
        `${name}-batches`,
        async () => {
          counter.count('recorded')
          return result
        },
        workers / INSTANCES,
      ),
    ),
  )
  await worker(
    `${name}-callback`,
    async job => {
      const results = await job.getChildrenValues()
      if (Object.keys(results).length !== batches) throw new Error('Results are missing.')
      arrival.emit('callback')
    },
    1,
  )

  const producer = new FlowProducer({ connection })
  started.push(producer)
  const opts = { removeOnComplete: true }
  const arrived = once(arrival, 'callback')
  const begin = performance.now()
  await producer.add({
    name: 'callback',
    queueName: `${name}-callback`,
    opts,
    children: Array.from({ length: batches }, (_, batch_index) => ({
      name: 'batch',
      queueName: `${name}-batches`,
      data: { batch_index },
      opts,
    })),
  })
  await arrived
  const seconds = (performance.now() - begin) / 1000
  const tally = { ...counter.tally(), seconds }
  await Promise.all(started.map(one => one.close()))
  return tally
}
