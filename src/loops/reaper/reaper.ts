import type { FastifyInstance } from 'fastify'
import type { Config } from '../../config.ts'
import { execute, type Statement, statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { loop } from '../loop.ts'

const expireSql = statement('expire.sql', import.meta.url)
const stuckSql = statement('stuck.sql', import.meta.url)
const exhaustSql = statement('exhaust.sql', import.meta.url)
const endLeasesSql = statement('end-leases.sql', import.meta.url)
const giveUpSql = statement('give-up.sql', import.meta.url)
const forgetClaimsSql = statement('forget-claims.sql', import.meta.url)
const forgetReplacedSql = statement('forget-replaced.sql', import.meta.url)
const forgetBatchesSql = statement('forget-batches.sql', import.meta.url)
const forgetBarriersSql = statement('forget-barriers.sql', import.meta.url)

/** A barrier that a step closed or looked at, as far as the log may know it. */
interface Reaped {
  namespace: string
  execution_id: string
  generation: number
  state: string
  reason?: string
  callback_id?: string
}

interface Counted extends Partial<Reaped> {
  recorded?: number
  next?: RawJson
}

type Parts = Pick<FastifyInstance, 'database' | 'closings' | 'log' | 'message'>

/**
 * Closes what nobody will finish, and forgets what nobody needs any more. Each step is one statement that is bounded, still
 * holds as it writes, and waits for no lock: any number of replicas run it at once, beside everything else.
 */
export class Reaper {
  readonly #app: Parts
  readonly #config: Config
  readonly #ended = new AbortController()
  #loop: Promise<unknown> = Promise.resolve()
  /** Where the look for exhausted batches goes on. */
  #looked: RawJson | undefined

  constructor(app: Parts, config: Config) {
    this.#app = app
    this.#config = config
  }

  start(): void {
    const restMs = this.#config.ROLLCALL_REAPER_REST_SECONDS * 1000
    this.#loop = loop(() => this.roundOnce(), { restMs, signal: this.#ended.signal })
  }

  async stop(): Promise<void> {
    this.#ended.abort()
    await this.#loop
  }

  /** Every step once. One that fails is logged and keeps no other from its turn. Returns how much was done. */
  async roundOnce(): Promise<number> {
    let done = 0
    for (const step of steps) {
      if (this.#ended.signal.aborted) break
      try {
        done += await this[step]()
      } catch (error) {
        this.#app.log.warn({ err: error, step }, 'A step of the reaper failed; it is tried again.')
      }
    }
    return done
  }

  async expireOnce(): Promise<number> {
    const expired = await execute<Reaped>(this.#app.database, expireSql, [])
    for (const barrier of expired) this.#closed(barrier)
    return expired.length
  }

  async closeStuckOnce(): Promise<number> {
    const lookedAt = await execute<Reaped>(this.#app.database, stuckSql, [])
    for (const barrier of lookedAt) if (barrier.state !== 'open') this.#closed(barrier)
    return lookedAt.length
  }

  async exhaustOnce(): Promise<number> {
    const rows = await execute<Counted>(this.#app.database, exhaustSql, [this.#looked?.text])
    this.#looked = rows[0]?.next
    const counted = rows.filter((row): row is Reaped & { recorded: number } => 'recorded' in row)
    let done = 0
    for (const { recorded, ...barrier } of counted) {
      const { execution_id, generation, state } = barrier
      this.#app.log.info(
        { execution_id, generation, recorded },
        'Batches that were out of attempts are recorded as failed.',
      )
      if (state !== 'open') this.#closed(barrier)
      done += recorded
    }
    // There is more to look at, so that the loop does not rest.
    return this.#looked ? done + 1 : done
  }

  async endLeasesOnce(): Promise<number> {
    const ended = await execute<Reaped>(this.#app.database, endLeasesSql, [])
    for (const { execution_id, generation, callback_id } of ended) {
      this.#app.log.warn(
        { execution_id, generation, callback_id },
        'The lease of a callback began in the future; the clock of the database was set back.',
      )
    }
    return ended.length
  }

  async giveUpOnce(): Promise<number> {
    const { inline_bytes, public_url } = this.#app.message
    const seconds = this.#config.ROLLCALL_RETAIN_BATCHES_SECONDS
    const dead = await execute<Reaped>(this.#app.database, giveUpSql, [
      seconds,
      inline_bytes,
      public_url,
    ])
    for (const { execution_id, generation, callback_id, state } of dead) {
      this.#app.log.info(
        { execution_id, generation, callback_id, state },
        'Nobody took the callback from its queue; it is dead.',
      )
    }
    return dead.length
  }

  forgetClaimsOnce(): Promise<number> {
    return this.#forget(
      forgetClaimsSql,
      this.#config.ROLLCALL_RETAIN_CLAIMS_SECONDS,
      'Claims without a barrier were forgotten.',
    )
  }

  forgetReplacedOnce(): Promise<number> {
    return this.#forget(
      forgetReplacedSql,
      this.#config.ROLLCALL_RETAIN_REPLACED_SECONDS,
      'Batches of replaced generations were forgotten.',
    )
  }

  forgetBatchesOnce(): Promise<number> {
    return this.#forget(
      forgetBatchesSql,
      this.#config.ROLLCALL_RETAIN_BATCHES_SECONDS,
      'Batches of closed barriers were forgotten.',
    )
  }

  forgetBarriersOnce(): Promise<number> {
    return this.#forget(
      forgetBarriersSql,
      this.#config.ROLLCALL_RETAIN_TOMBSTONES_SECONDS,
      'Tombstones were forgotten.',
    )
  }

  async #forget(sql: Statement, seconds: number, sentence: string): Promise<number> {
    const { length: forgotten } = await execute(this.#app.database, sql, [seconds])
    if (forgotten > 0) this.#app.log.info({ forgotten }, sentence)
    return forgotten
  }

  #closed({ namespace, execution_id, generation, callback_id, state, reason }: Reaped): void {
    this.#app.closings.announce({ namespace, execution_id })
    this.#app.log.info(
      { execution_id, generation, callback_id, state, reason },
      'The reaper closed a barrier.',
    )
  }
}

const steps = [
  'expireOnce',
  'closeStuckOnce',
  'exhaustOnce',
  'endLeasesOnce',
  'giveUpOnce',
  'forgetClaimsOnce',
  'forgetReplacedOnce',
  'forgetBatchesOnce',
  'forgetBarriersOnce',
] as const
