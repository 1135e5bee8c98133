import { readFileSync } from 'node:fs'
import { Client } from 'pg'
import { Counter, type Tally } from '../tally.ts'
import { RESULT } from '../workloads.ts'

const read = (name: string) => readFileSync(new URL(`${name}.sql`, import.meta.url), 'utf8')

const sql = {
  claim: read('claim'),
  enqueue: read('enqueue'),
  decrement: read('decrement'),
}

export interface OldOrder {
  database: string
  name: string
  workers: number
  /** How many batches to do. A run that is not done in `seconds` is cut, and its tally shows how far it came. */
  batches: number
  seconds: number
}

/** The old claim alone, over direct connections, for machines without pgbench. */
export function oldClaims(order: OldOrder): Promise<Tally> {
  return overConnections(order, async (client, n) => {
    const values = [`${order.name}-${n % 1000}`, Math.floor(n / 1000)]
    const { rowCount } = await client.query({ name: 'claim', text: sql.claim, values })
    return rowCount === 1 ? 'claimed' : 'claimed before'
  })
}

/** The old worker: it sets the marker, then counts and appends. Each statement is prepared and committed by itself. */
export async function oldRun(order: OldOrder): Promise<Tally> {
  const { database, name, batches } = order
  const producer = new Client({ connectionString: database })
  await producer.connect()
  await producer.query(sql.enqueue, [name, batches])
  await producer.end()
  return overConnections(order, async (client, n) => {
    await client.query({ name: 'claim', text: sql.claim, values: [name, n] })
    const { rows } = await client.query<{ remaining: number }>({
      name: 'decrement',
      text: sql.decrement,
      values: [name, `[${RESULT}]`],
    })
    return rows[0]?.remaining === 0 ? 'last' : 'recorded'
  })
}

async function overConnections(
  { database, workers, batches, seconds }: OldOrder,
  work: (client: Client, n: number) => Promise<string>,
): Promise<Tally> {
  const clients = Array.from({ length: workers }, () => new Client({ connectionString: database }))
  await Promise.all(clients.map(client => client.connect()))
  const counter = new Counter()
  const deadline = performance.now() + seconds * 1000
  let next = 0
  const follow = async (client: Client): Promise<void> => {
    while (next < batches && performance.now() < deadline) {
      const n = next
      next += 1
      counter.count(await work(client, n))
    }
  }
  await Promise.all(clients.map(follow))
  const tally = counter.tally()
  await Promise.all(clients.map(client => client.end()))
  return tally
}
