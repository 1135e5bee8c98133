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
    if (this.#app.drain.isDraining) return new Refusal('draining', {}, retryAfter)
    const now = performance.now()
    if (now - this.#judgedAt > FRESH_MS) {
      this.#judgedAt = now
      this.#verdict = this.#judge()
    }
    return this.#verdict
  }

  /** Lets a request in, or refuses it. Costs nothing while all is well. */
  admit(next: (refusal?: Refusal) => void): void {
    if (this.#unfit) void this.#admitOnceFit(next)
    else next()
  }

  async #admitOnceFit(next: (refusal?: Refusal) => void): Promise<void> {
    next(await this.check())
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
  async (app, { config }) => void app.decorate('readiness', new Readiness(app, config)),
  { name: 'readiness', dependencies: ['database', 'drain'] },
)
