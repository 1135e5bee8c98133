import type { Config } from '../../config.ts'
import { execute, statement } from '../../database/statement.ts'
import { loop } from '../../loop.ts'
import { Exhaustion } from './exhaust.ts'
import { announceClosed, type Parts, type Reaped } from './reaped.ts'
import { Retention } from './retention.ts'
import { type Bounds, Sweep } from './sweep.ts'

const expireSql = statement('expire.sql', import.meta.url)
const stuckSql = statement('stuck.sql', import.meta.url)
const endLeasesSql = statement('end-leases.sql', import.meta.url)
const giveUpSql = statement('give-up.sql', import.meta.url)

/**
 * Closes barriers that nobody will finish, and forgets rows that nobody needs any more. Each step is one bounded statement that
 * judges its rows again under their locks and waits for no lock: any number of replicas run it at once, beside everything else.
 */
export class Reaper {
  readonly #app: Parts
  readonly #config: Config
  readonly #ended = new AbortController()
  #loop: Promise<unknown> = Promise.resolve()
  readonly #expire: Sweep
  readonly #stuck: Sweep
  readonly #exhaustion: Exhaustion
  readonly #ahead: Sweep
  readonly #unpulled: Sweep
  readonly #retention: Retention

  constructor(app: Parts, config: Config) {
    this.#app = app
    this.#config = config
    const { log } = app
    const { signal } = this.#ended
    this.#expire = new Sweep({ name: 'expire', largest: 100, log, signal }, bounds =>
      this.#closeOverdue(bounds),
    )
    // A few, because each barrier needs a look at its claims.
    this.#stuck = new Sweep({ name: 'stuck', largest: 10, log, signal }, bounds =>
      this.#closeStuck(bounds),
    )
    this.#exhaustion = new Exhaustion(app, config, signal)
    this.#ahead = new Sweep({ name: 'end-leases', largest: 100, log, signal }, bounds =>
      this.#endLeases(bounds),
    )
    // Two, because a message may be large.
    this.#unpulled = new Sweep({ name: 'give-up', largest: 2, log, signal }, bounds =>
      this.#giveUp(bounds),
    )
    this.#retention = new Retention(app, config, signal)
  }

  start(): void {
    const restMs = this.#config.ROLLCALL_REAPER_REST_SECONDS * 1000
    this.#loop = loop(() => this.roundOnce(), { restMs, signal: this.#ended.signal })
  }

  async stop(): Promise<void> {
    this.#ended.abort()
    await this.#loop
  }

  /** Runs every step once. A step that fails is logged, and the next ones run all the same. Returns how much was done. */
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

  expireOnce(): Promise<number> {
    return this.#expire.turn()
  }

  closeStuckOnce(): Promise<number> {
    return this.#stuck.turn()
  }

  exhaustOnce(): Promise<number> {
    return this.#exhaustion.turn()
  }

  endLeasesOnce(): Promise<number> {
    return this.#ahead.turn()
  }

  giveUpOnce(): Promise<number> {
    return this.#unpulled.turn()
  }

  forgetClaimsOnce(): Promise<number> {
    return this.#retention.turn('claims')
  }

  forgetReplacedOnce(): Promise<number> {
    return this.#retention.turn('replaced')
  }

  forgetBatchesOnce(): Promise<number> {
    return this.#retention.turn('batches')
  }

  forgetBarriersOnce(): Promise<number> {
    return this.#retention.turn('barriers')
  }

  async #closeOverdue({ most, passed }: Bounds): Promise<number> {
    const expired = await execute<Reaped>(this.#app.database, expireSql, [most, passed])
    for (const barrier of expired) announceClosed(this.#app, barrier)
    return expired.length
  }

  async #closeStuck({ most, passed }: Bounds): Promise<number> {
    const lookedAt = await execute<Reaped>(this.#app.database, stuckSql, [most, passed])
    for (const barrier of lookedAt) if (barrier.state !== 'open') announceClosed(this.#app, barrier)
    return lookedAt.length
  }

  async #endLeases({ most, passed }: Bounds): Promise<number> {
    const ended = await execute<Reaped>(this.#app.database, endLeasesSql, [most, passed])
    for (const { execution_id, generation, callback_id } of ended) {
      this.#app.log.warn(
        { execution_id, generation, callback_id },
        'The lease of a callback began in the future; the clock of the database was set back.',
      )
    }
    return ended.length
  }

  async #giveUp({ most, passed }: Bounds): Promise<number> {
    const { inline_bytes, public_url } = this.#app.message
    const seconds = this.#config.ROLLCALL_RETAIN_BATCHES_SECONDS
    const values = [seconds, inline_bytes, public_url, most, passed]
    const dead = await execute<Reaped>(this.#app.database, giveUpSql, values)
    for (const { execution_id, generation, callback_id, state } of dead) {
      this.#app.log.info(
        { execution_id, generation, callback_id, state },
        'Nobody took the callback from its queue; it is dead.',
      )
    }
    return dead.length
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
