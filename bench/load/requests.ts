import { setTimeout as pause } from 'node:timers/promises'
import { Connection } from './connection.ts'
import { Counter, type Tally } from './tally.ts'
import { type Call, type Spread, type WorkloadName, workloads } from './workloads.ts'

export interface Requests extends Spread {
  workload: WorkloadName
  /** The origins among which the connections are spread. */
  origins: string[]
  connections: number
  /** The number of the first operation. Runs on the same executions begin at different numbers. */
  first?: number
  /** How many operations at most. */
  count?: number
  /** How long at most. */
  seconds: number
  /** Operations begin at this pace, even if earlier ones are not done. Without it each connection begins the next one at once. */
  perSecond?: number
}

/** Runs operations over HTTP, as many at a time as there are connections. */
export async function requests(order: Requests): Promise<Tally> {
  const { origins, connections, first = 0, count = Infinity, seconds, perSecond } = order
  const opened = await Promise.all(
    Array.from({ length: connections }, (_, index) =>
      Connection.open(origins[index % origins.length] ?? ''),
    ),
  )
  const counter = new Counter()
  const begin = performance.now()
  const deadline = begin + seconds * 1000
  let next = 0

  const follow = async (initial: Connection): Promise<void> => {
    let connection = initial
    for (;;) {
      const n = next
      next += 1
      const due = perSecond === undefined ? 0 : begin + (n * 1000) / perSecond
      if (n >= count || Math.max(due, performance.now()) >= deadline) break
      const since = await begun(due)
      connection = await operate(connection, order, first + n, since, counter)
    }
    connection.close()
  }
  await Promise.all(opened.map(follow))
  return counter.tally()
}

/**
 * The moment from which the operation's latency counts. If no connection was free, it is the moment when the operation was
 * due, so that a queue counts too. If a timer was late, it is not: that is not the service's fault.
 */
async function begun(due: number): Promise<number> {
  const early = due - performance.now()
  if (due === 0 || early > 0) {
    if (early > 0) await pause(early)
    return performance.now()
  }
  return due
}

async function operate(
  connection: Connection,
  { workload, ...spread }: Requests,
  n: number,
  since: number,
  counter: Counter,
): Promise<Connection> {
  let begin = since
  const call: Call = async (step, method, path, body) => {
    const reply = await connection.ask(method, path, body)
    const now = performance.now()
    counter.took(reply.status < 300 ? step : 'refused', now - begin)
    begin = now
    return reply
  }
  try {
    counter.count(await workloads[workload](call, n, spread))
    return connection
  } catch {
    counter.count('no answer')
    return connection.renewed()
  }
}
