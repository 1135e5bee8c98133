import type { FastifyInstance } from 'fastify'
import { DatabaseRefusal } from '../../database/fault.ts'
import { nonce } from '../../database/nonce.ts'
import { execute, statement } from '../../database/statement.ts'
import { type RawJson, stringify } from '../../json/raw.ts'
import { ATTEMPTS } from '../../webhook/schedule.ts'
import { type Chosen, type Due, LARGE_BYTES } from './places.ts'
import { SLOW_MS } from './paces.ts'

const lookSql = statement('look.sql', import.meta.url)
// It is not repeated: a lease whose answer was lost ends by itself.
const leaseSql = statement('lease.sql', import.meta.url, { repeatable: false })

/** The most that one look reads: some 20 ms of Postgres. */
const MOST_RECEIVERS = 2_000
const MOST_EACH = 4

/** The most that one lease builds, in bytes of messages; it has to end long before its time-out. */
const BUILD_BYTES = 8 * 1024 * 1024

export const LEASE_SECONDS = 60

/** How long a callback that could not be leased is left alone, and how many may be at once. */
const ASIDE_MS = 60_000
const MOST_ASIDE = 1_000

export interface Leased {
  namespace: string
  execution_id: string
  generation: number
  callback_id: string
  state: 'delivering' | 'dead'
  token: string
  attempt: number
  /** Attempts since it was last made due; the schedule counts these. */
  nth: number
  url: string
  /** Its position among the chosen callbacks. */
  ord: number
  message: RawJson
}

interface Position {
  after_host?: string
  after_receiver?: string
}

/** Finds due callbacks for this replica, and leases them. */
export class Leases {
  readonly #app: FastifyInstance
  readonly #aside = new Map<string, { key: object; since_ms: number }>()
  /** Where the last look ended; empty after a look that came to the last receiver. */
  #position: Position = {}
  /** One callback may be the cause when a lease is lost with its connection: the next one leases half as many. */
  #most = Number.MAX_SAFE_INTEGER

  constructor(app: FastifyInstance) {
    this.#app = app
  }

  /** Whether the next look goes on where the last one ended. */
  get hasMore(): boolean {
    return this.#position.after_host !== undefined
  }

  async look(): Promise<Due[]> {
    const now = performance.now()
    for (const [id, { since_ms }] of this.#aside)
      if (now - since_ms > ASIDE_MS) this.#aside.delete(id)
    const asked = {
      ...this.#position,
      most_receivers: MOST_RECEIVERS,
      most_each: MOST_EACH,
      slow_ms: SLOW_MS,
      set_aside: [...this.#aside.values()].map(({ key }) => key),
    }
    this.#position = {}
    const rows = await execute<Due & Position>(this.#app.database, lookSql, [stringify([asked])])
    return rows.filter(row => {
      if (row.after_host === undefined) return true
      this.#position = { after_host: row.after_host, after_receiver: row.after_receiver ?? '' }
      return false
    })
  }

  /** Leases those that are still due. One that cannot be leased is logged and left alone; the others are leased all the same. */
  async take(chosen: readonly Chosen[]): Promise<{ callback: Leased; target: Chosen }[]> {
    const most = chosen.slice(0, this.#most)
    const leased = await this.#lease(most)
    this.#most = Math.min(Number.MAX_SAFE_INTEGER, this.#most * 2)
    return leased
  }

  async #lease(chosen: readonly Chosen[]): Promise<{ callback: Leased; target: Chosen }[]> {
    if (chosen.length === 0) return []
    try {
      const values = [stringify([this.#asked(chosen)])]
      const rows = await execute<Leased>(this.#app.database, leaseSql, values)
      return rows.flatMap(callback => {
        const target = chosen[callback.ord]
        return target ? [{ callback, target }] : []
      })
    } catch (error) {
      if (!(error instanceof DatabaseRefusal)) throw error
      const isLost = error.effect === 'unknown'
      if (isLost) this.#most = Math.max(1, Math.floor(chosen.length / 2))
      const [first] = chosen
      if (first && chosen.length === 1 && (error.blamesOneAsk || isLost))
        this.#setAside(first, error)
      if (isLost || !error.blamesOneAsk) throw error
      if (chosen.length === 1) return []
      const half = Math.ceil(chosen.length / 2)
      return [
        ...(await this.#lease(chosen.slice(0, half))),
        ...(await this.#lease(chosen.slice(half))),
      ]
    }
  }

  #asked(chosen: readonly Chosen[]): object {
    return {
      chosen: chosen.map(({ namespace, execution_id, generation, large_left }, ord) => ({
        ord,
        namespace,
        execution_id,
        generation,
        large_left,
      })),
      build_bytes: BUILD_BYTES,
      large_bytes: LARGE_BYTES,
      lease_seconds: LEASE_SECONDS,
      attempts: ATTEMPTS,
      nonce: nonce(),
      ...this.#app.message,
    }
  }

  #setAside({ namespace, execution_id, generation }: Chosen, error: DatabaseRefusal): void {
    const key = { namespace, execution_id, generation }
    this.#app.log.error(
      { err: error, execution_id, generation },
      'A callback cannot be leased; it is left alone for a minute.',
    )
    this.#aside.set(JSON.stringify(key), { key, since_ms: performance.now() })
    if (this.#aside.size <= MOST_ASIDE) return
    for (const oldest of this.#aside.keys()) return void this.#aside.delete(oldest)
  }
}
