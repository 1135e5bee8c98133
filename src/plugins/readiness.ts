import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import type { Config } from '../config.ts'
import { Refusal } from '../refusals.ts'
import { wrongWith } from './readiness/judge.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readiness: Readiness
  }
}

/** A verdict is used for this long, so that a storm of probes makes only one judgement a second. */
export const FRESH_MS = 1000

const retryAfter = { headers: { 'retry-after': '1' } }

/** Knows whether this replica can serve. If it cannot, one sentence says why and what to do. */
class Readiness {
  readonly #app: FastifyInstance
  readonly #config: Config
  #draining = false
  #refusing = false
  #inFlight = 0
  #onIdle: () => void = () => undefined
  /** Set while the schema or the settings are wrong. Not set for a database that is away: requests find that out themselves. */
  #unfit: Refusal | undefined = new Refusal('not_ready', {}, retryAfter)
  #verdict: Promise<Refusal | undefined> = Promise.resolve(this.#unfit)
  #judgedAt = -Infinity

  constructor(app: FastifyInstance, config: Config) {
    this.#app = app
    this.#config = config
  }

  /** The reason why this replica is not ready, or nothing. */
  async check(): Promise<Refusal | undefined> {
    if (this.#draining) return new Refusal('draining', {}, retryAfter)
    const now = performance.now()
    if (now - this.#judgedAt > FRESH_MS) {
      this.#judgedAt = now
      this.#verdict = this.#judge()
    }
    return this.#verdict
  }

  /** Lets a request in, or refuses it. Costs nothing while all is well. */
  admit(next: (refusal?: Refusal) => void): void {
    if (this.#refusing) {
      const headers = { 'retry-after': '1', connection: 'close' }
      next(new Refusal('draining', {}, { headers }))
    } else if (this.#unfit) void this.#admitOnceFit(next)
    else next()
  }

  async #admitOnceFit(next: (refusal?: Refusal) => void): Promise<void> {
    next(await this.check())
  }

  /** Readiness turns red; requests are still served. */
  drain(): void {
    this.#draining = true
  }

  get isDraining(): boolean {
    return this.#draining
  }

  /** Refuses new requests from now on, and resolves when the last one in flight is answered. */
  async refuse(): Promise<void> {
    this.#draining = true
    this.#refusing = true
    if (this.#inFlight > 0) await new Promise<void>(resolve => (this.#onIdle = resolve))
  }

  enter(): void {
    this.#inFlight += 1
  }

  /** How many requests are neither answered nor given up by their callers. */
  get inFlight(): number {
    return this.#inFlight
  }

  readonly leave = (): void => {
    this.#inFlight -= 1
    if (this.#inFlight === 0) this.#onIdle()
  }

  async #judge(): Promise<Refusal | undefined> {
    try {
      const reason = await wrongWith(this.#app.database, this.#config)
      this.#unfit =
        reason === undefined ? undefined : new Refusal('not_ready', { detail: reason }, retryAfter)
      return this.#unfit
    } catch (error) {
      return error as Refusal
    }
  }
}

export const readiness = plugin<{ config: Config }>(
  async (app, { config }) => {
    const own = new Readiness(app, config)
    app.decorate('readiness', own)
    app.addHook('onRequest', (_request, reply, next) => {
      own.enter()
      reply.onGone(own.leave)
      // So the client opens its next connection to another replica, before this one is cut.
      if (own.isDraining) reply.header('connection', 'close')
      next()
    })
  },
  { name: 'readiness', dependencies: ['database', 'sockets'] },
)
