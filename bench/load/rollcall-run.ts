import { arrivalOf, queueOf } from './arrival.ts'
import { Connection } from './connection.ts'
import { requests } from './requests.ts'
import type { Tally } from './tally.ts'
import { SET } from './workloads.ts'

export interface RunOrder {
  origin: string
  name: string
  batches: number
  workers: number
  seconds: number
  /** Whether workers take and record their batches in sets. */
  inSets?: boolean
}

/** A whole run over HTTP: enqueue, then workers claim and decrement, until the producer learns that all are in. */
export async function rollcallRun(order: RunOrder): Promise<Tally> {
  const { origin, name, batches, workers, seconds, inSets = false } = order
  const begin = performance.now()
  const producer = await Connection.open(origin)
  // The workload adds the number of the execution to its name.
  const execution = `${name}-0`
  await producer.ask(
    'POST',
    `/executions/${execution}/barrier/enqueue`,
    JSON.stringify({ total: batches, callback: { queue: queueOf(execution) } }),
  )
  producer.close()
  const arrival = arrivalOf(origin, execution)
  const [tally] = await Promise.all([
    requests({
      workload: inSets ? 'workInSets' : 'work',
      origins: [origin],
      connections: workers,
      prefix: name,
      executions: 1,
      total: batches,
      count: inSets ? Math.ceil(batches / SET) : batches,
      seconds,
    }),
    arrival,
  ])
  return { ...tally, operations: batches, seconds: (performance.now() - begin) / 1000 }
}
