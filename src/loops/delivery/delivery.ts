import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { setTimeout as pause } from 'node:timers/promises'
import type { Run } from '../../database/coalesce.ts'
import { statement } from '../../database/statement.ts'
import type { Attempt, Sender } from '../../webhook/post.ts'
import { Bell, breathe, loop } from '../../loop.ts'
import { endOf, recordOf } from './end.ts'
import { LEASE_SECONDS, type Leased, Leases } from './leases.ts'
import { type Chosen, FRESH_MS, Places } from './places.ts'

const settleSql = statement('settle.sql', import.meta.url)

/** An attempt takes 15 s at most; it begins only while its lease has more than that left, with some to spare. */
const LATEST_START_MS = 40_000

/** Looks take at most a fifth of the time, but the breath after each is no longer than this. */
const SHARE_OF_TIME = 1 / 5
const LONGEST_BREATH_MS = 250

interface Options {
  sender: Pick<Sender, 'post' | 'close'>
  /** How many attempts may be under way. */
  most?: number
  /** How long attempts under way may take once the loop is stopped. */
  shutdownSeconds: number
  /** How long a callback that became due without a hint waits at most for the next look. */
  restMs?: number
  /** Milliseconds since any fixed moment; it never goes back. */
  clock?: () => number
}

/**
 * Sends due callbacks to their URLs. A replica leases no more than it can send at once, so no lease ends in a queue,
 * and two replicas never send one attempt at once.
 */
export class Delivery {
  readonly #app: FastifyInstance
  readonly #options: Options
  readonly #settle: Run<{ outcome: string }>
  readonly #bell = new Bell()
  readonly #stopped = new AbortController()
  readonly #leases: Leases
  readonly #places: Places
  /** From the lease until the outcome is written down. */
  readonly #attempts = new Set<Promise<void>>()
  #loop: Promise<void> = Promise.resolve()

  constructor(app: FastifyInstance, options: Options) {
    this.#app = app
    this.#options = options
    this.#settle = app.coalesce(settleSql)
    this.#leases = new Leases(app)
    this.#places = new Places(options)
    app.guard.onResolved((hostname, address) => this.#places.resolved(hostname, address))
    app.ends.onNotify(({ posts }) => posts && this.#bell.ring())
  }

  start(): void {
    const { signal } = this.#stopped
    const { restMs = 1_000 } = this.#options
    this.#loop = loop(() => this.#step(), { restMs, signal, bell: this.#bell })
  }

  /** Leases nothing more, and lets attempts under way finish. One that is cut off is sent again when its lease is over. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#loop
    const { shutdownSeconds, sender } = this.#options
    await Promise.race([this.settled(), pause(shutdownSeconds * 1000, undefined, { ref: false })])
    await sender.close()
    await this.settled()
  }

  /** Resolves once every attempt that was begun is over and written down. */
  async settled(): Promise<void> {
    await Promise.all(this.#attempts)
  }

  /** Leases what is due and begins to send it; returns how many. */
  async leaseOnce(): Promise<number> {
    const began = performance.now()
    try {
      const leased = await this.#leases.take(this.#places.choose(await this.#leases.look()))
      for (const { callback, target } of leased) this.#begin(callback, target, began)
      return leased.length
    } catch (error) {
      this.#app.log.warn({ err: error }, 'The callbacks that are due could not be leased.')
      return 0
    }
  }

  /** A look, and a breath after it. The loop rests once all receivers were looked at, and none only waits for the clock. */
  async #step(): Promise<number> {
    const began = performance.now()
    const leased = await this.leaseOnce()
    const { signal } = this.#stopped
    const tookMs = performance.now() - began
    const breathMs = Math.min(LONGEST_BREATH_MS, tookMs / SHARE_OF_TIME - tookMs)
    // With more receivers than one look reads, every look begins with the same fresh room, whatever the one before it took.
    const isCrowded = this.#leases.hasMore && this.#places.isPaced
    await breathe(isCrowded ? Math.max(FRESH_MS, breathMs) : breathMs, signal)
    return leased > 0 || this.#leases.hasMore || this.#places.isPaced ? 1 : 0
  }

  #begin(callback: Leased, target: Chosen, began: number): void {
    if (callback.state === 'dead') {
      this.#log(callback).warn('A callback is dead: the outcome of its last attempt is unknown.')
      return
    }
    const ended = this.#deliver(callback, target, began).finally(() => this.#attempts.delete(ended))
    this.#attempts.add(ended)
  }

  async #deliver(callback: Leased, target: Chosen, began: number): Promise<void> {
    if (performance.now() - began > LATEST_START_MS) {
      this.#log(callback).warn('A callback was leased too long ago to be sent; its lease will end.')
      return
    }
    try {
      const attempt = await this.#post(callback, target)
      const { namespace, execution_id, generation, token } = callback
      const end = endOf(attempt, callback.nth)
      const outcome = await this.#writeDown(
        { namespace, execution_id, generation, token, ...end, attempt: recordOf(attempt) },
        began,
      )
      this.#tell(callback, attempt, outcome === 'settled' ? end.state : outcome)
    } catch (error) {
      this.#log(callback).warn(
        { err: error },
        'The outcome of an attempt is unknown; the callback is sent again when its lease is over.',
      )
    }
  }

  /** The place is free as soon as the attempt is over: an outcome that cannot be written down delays no other callback. */
  async #post({ callback_id: id, url, message }: Leased, target: Chosen): Promise<Attempt> {
    const leave = this.#places.take(target, message.text.length)
    let attempt: Attempt | undefined
    try {
      attempt = await this.#options.sender.post({ id, url, body: message.text })
      return attempt
    } finally {
      leave(attempt)
      this.#bell.ring()
    }
  }

  /** Tries again while the lease lasts: otherwise a message that was taken would be sent again because the database was busy. */
  async #writeDown(ended: object, began: number): Promise<string> {
    for (;;) {
      try {
        const [{ outcome }] = await this.#settle([ended])
        return outcome
      } catch (error) {
        const isOver = performance.now() - began > LEASE_SECONDS * 1000
        if (isOver || this.#stopped.signal.aborted) throw error
        await pause(1_000, undefined, { ref: false })
      }
    }
  }

  #tell(callback: Leased, { status, error, why, milliseconds }: Attempt, end: string): void {
    const log = this.#log(callback).child({ status, error, ...why, milliseconds })
    if (end === 'delivered') log.info('A callback was delivered.')
    else if (end === 'due') log.info('A callback was not taken; it is sent again.')
    else if (end === 'dead') log.warn('A callback is dead; redeliver makes it due again.')
    else log.info('An attempt ended after its callback was replaced or leased anew.')
  }

  #log({ execution_id, generation, callback_id, attempt }: Leased): FastifyBaseLogger {
    return this.#app.log.child({ execution_id, generation, callback_id, attempt })
  }
}
