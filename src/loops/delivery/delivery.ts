import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { setTimeout as pause } from 'node:timers/promises'
import type { Run } from '../../database/coalesce.ts'
import { DatabaseRefusal } from '../../database/fault.ts'
import { nonce } from '../../database/nonce.ts'
import { execute, statement } from '../../database/statement.ts'
import { type RawJson, stringify } from '../../json.ts'
import type { Attempt, Sender } from '../../webhook/post.ts'
import { ATTEMPTS } from '../../webhook/schedule.ts'
import { Bell, loop } from '../loop.ts'
import { endOf, recordOf } from './end.ts'

const leaseSql = statement('lease.sql', import.meta.url)
const settleSql = statement('settle.sql', import.meta.url)

/** Attempts that one replica makes at once: to one host, and in all. */
const HOST_SLOTS = 4
const SLOTS = 64

/** What one lease builds at most, in bytes of messages; it has to end long before its time-out. */
const BUILD_BYTES = 8 * 1024 * 1024

const LEASE_SECONDS = 60
/** An attempt takes 15 s at most; it begins only while its lease has more than that left, with some to spare. */
const LATEST_START_MS = 40_000

interface Leased {
  namespace: string
  execution_id: string
  generation: number
  callback_id: string
  state: 'delivering' | 'dead'
  token: string
  attempt: number
  /** The same, counted from when it was last made due. */
  nth: number
  url: string
  host: string
  message: RawJson
}

interface Options {
  sender: Sender
  /** How long attempts under way may take once the loop is stopped. */
  shutdownSeconds: number
  /** How long a callback that was made due without a hint waits at most, before it is leased. */
  restMs?: number
}

/**
 * Takes callbacks that are due to their URLs. A replica leases no more than it can send at once, so no lease ends in a queue,
 * and two replicas never send one attempt at once.
 */
export class Delivery {
  readonly #app: FastifyInstance
  readonly #options: Options
  readonly #settle: Run<{ outcome: string }>
  readonly #bell = new Bell()
  readonly #stopped = new AbortController()
  readonly #inFlight = new Set<{ host: string; ended: Promise<void> }>()
  #loop: Promise<void> = Promise.resolve()
  #failed = false
  #passedOver = 0

  constructor(app: FastifyInstance, options: Options) {
    this.#app = app
    this.#options = options
    this.#settle = app.coalesce(settleSql)
    app.closings.onHint(({ posts }) => posts && this.#bell.ring())
  }

  start(): void {
    const { signal } = this.#stopped
    const { restMs = 1_000 } = this.#options
    this.#loop = loop(() => this.leaseOnce(), { restMs, signal, bell: this.#bell })
  }

  /** Leases nothing more, and lets what is on its way arrive. What does not in time is sent again when its lease is over. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#loop
    const { shutdownSeconds, sender } = this.#options
    await Promise.race([this.settled(), pause(shutdownSeconds * 1000, undefined, { ref: false })])
    await sender.close()
    await this.settled()
  }

  /** Every attempt that was begun is over and written down. */
  async settled(): Promise<void> {
    await Promise.all([...this.#inFlight].map(({ ended }) => ended))
  }

  /** Leases what is due and begins to send it; returns how many. */
  async leaseOnce(): Promise<number> {
    const { database, log, message } = this.#app
    const free = SLOTS - this.#inFlight.size
    // After a failure one at a time, and past the one that fails alone: a message that cannot be built keeps nobody waiting.
    const most = this.#failed ? Math.min(1, free) : free
    if (most === 0) return 0
    const began = performance.now()
    try {
      const leased = await execute<Leased>(
        database,
        leaseSql,
        [
          stringify([
            {
              most,
              passed_over: this.#passedOver,
              build_bytes: BUILD_BYTES,
              host_slots: HOST_SLOTS,
              in_flight: this.#hosts(),
              lease_seconds: LEASE_SECONDS,
              attempts: ATTEMPTS,
              nonce: nonce(),
              ...message,
            },
          ]),
        ],
        // A lease that nobody heard of ends by itself.
        { once: true },
      )
      if (leased.length === 0) this.#passedOver = 0
      this.#failed = this.#passedOver > 0
      for (const callback of leased) this.#begin(callback, began)
      return leased.length
    } catch (error) {
      // A database that was away before it was asked is no message's fault.
      if (
        this.#failed &&
        error instanceof DatabaseRefusal &&
        (error.alone || error.effect === 'unknown')
      )
        this.#passedOver += 1
      this.#failed = true
      log.warn({ err: error }, 'The callbacks that are due could not be leased.')
      return 0
    }
  }

  #begin(callback: Leased, began: number): void {
    if (callback.state === 'dead') {
      this.#log(callback).warn('A callback is dead: the outcome of its last attempt is unknown.')
      return
    }
    const attempt = {
      host: callback.host,
      ended: this.#deliver(callback, began).finally(() => {
        this.#inFlight.delete(attempt)
        this.#bell.ring()
      }),
    }
    this.#inFlight.add(attempt)
  }

  async #deliver(callback: Leased, began: number): Promise<void> {
    if (performance.now() - began > LATEST_START_MS) {
      this.#log(callback).warn('A callback was leased too long ago to be sent; its lease will end.')
      return
    }
    try {
      const { callback_id: id, url, message } = callback
      const attempt = await this.#options.sender.post({ id, url, body: message.text })
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

  /** Again and again while the lease lasts: a message that was taken would be sent once more for a database that was busy. */
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

  #hosts(): Record<string, number> {
    const counts = new Map<string, number>()
    for (const { host } of this.#inFlight) counts.set(host, (counts.get(host) ?? 0) + 1)
    return Object.fromEntries(counts)
  }

  #tell(callback: Leased, { status, error, detail, milliseconds }: Attempt, end: string): void {
    const log = this.#log(callback).child({ status, error, detail, milliseconds })
    if (end === 'delivered') log.info('A callback was delivered.')
    else if (end === 'due') log.info('A callback was not taken; it is sent again.')
    else if (end === 'dead') log.warn('A callback is dead; redeliver makes it due again.')
    else log.info('An attempt ended after its callback was replaced or leased anew.')
  }

  #log({ execution_id, generation, callback_id, attempt }: Leased): FastifyBaseLogger {
    return this.#app.log.child({ execution_id, generation, callback_id, attempt })
  }
}
