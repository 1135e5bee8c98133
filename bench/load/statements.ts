import { randomBytes } from 'node:crypto'
import { Pool } from 'pg'
import { readConfig } from '../../src/config.ts'
import { poolOptions } from '../../src/database/connect.ts'
import { statement } from '../../src/database/statement.ts'
import { Counter, type Tally } from './tally.ts'
import { RESULT } from './workloads.ts'

export interface StatementsOrder {
  database: string
  prefix: string
  executions: number
  first: number
  count: number
}

const routes = new URL('../../src/routes/', import.meta.url).href
const claim = statement('batches/claim.sql', routes)
const decrement = statement('barriers/decrement.sql', routes)

/** The service's own statements over its own kind of connection, but without the service: one client, one ask at a time. */
export async function statements(order: StatementsOrder): Promise<Tally> {
  const { database, prefix, executions, first, count } = order
  // A pool of one connection, because the pool sends the session's settings.
  const pool = new Pool({ ...poolOptions(readConfig({}), { connectionString: database }), max: 1 })
  const client = await pool.connect()
  const counter = new Counter()
  const timed = async (step: string, { name, text }: typeof claim, values: unknown[]) => {
    const begin = performance.now()
    const { rows } = await client.query<{ outcome: string; reply: { text: string } }>({
      name,
      text,
      values,
    })
    counter.took(step, performance.now() - begin)
    return rows[0]
  }
  for (let n = first; n < first + count; n += 1) {
    const batch = {
      namespace: '',
      execution_id: `${prefix}-${n % executions}`,
      batch_index: Math.floor(n / executions),
    }
    const held = { lease_seconds: 600, owner: 'bench', inline_bytes: 16_384 }
    const granted = await timed('claim', claim, [
      JSON.stringify([{ ...batch, ...held, nonce: nonce() }]),
    ])
    const { token } = JSON.parse(granted?.reply.text ?? '{}') as { token?: string }
    const result = JSON.parse(RESULT) as unknown
    const outcome = { token, status: 'succeeded', result, nonce: nonce() }
    // Like the lane that requests share, this does not wait for a locked barrier.
    const row = await timed('decrement', decrement, [
      JSON.stringify([{ ...batch, ...outcome }]),
      false,
    ])
    counter.count(row?.outcome ?? 'none')
  }
  const tally = counter.tally()
  client.release()
  await pool.end()
  return tally
}

function nonce(): string {
  return randomBytes(16).toString('base64url')
}
