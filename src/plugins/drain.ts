import plugin from 'fastify-plugin'
import { Refusal } from '../refusals.ts'

declare module 'fastify' {
  interface FastifyInstance {
    drain: Drain
  }
}

const REFUSED = { headers: { 'retry-after': '1', connection: 'close' } }

/** Counts the requests in flight, and lets the last ones end before the service stops. */
class Drain {
  #isDraining = false
  #isRefusing = false
  #inFlight = 0
  #onIdle: () => void = () => undefined

  /** Readiness turns red; requests are still served. */
  begin(): void {
    this.#isDraining = true
  }

  get isDraining(): boolean {
    return this.#isDraining
  }

  /** Refuses new requests from now on, and resolves when the last one in flight is answered. */
  async refuse(): Promise<void> {
    this.#isDraining = true
    this.#isRefusing = true
    if (this.#inFlight > 0) await new Promise<void>(resolve => (this.#onIdle = resolve))
  }

  /** Lets a request in, or refuses it. */
  admit(next: (refusal?: Refusal) => void): void {
    if (this.#isRefusing) next(new Refusal('draining', {}, REFUSED))
    else next()
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
}

export const drain = plugin(
  async app => {
    const own = new Drain()
    app.decorate('drain', own)
    app.addHook('onRequest', (_request, reply, next) => {
      own.enter()
      reply.onGone(own.leave)
      // So the client opens its next connection to another replica, before this one is cut.
      if (own.isDraining) reply.header('connection', 'close')
      next()
    })
  },
  { name: 'drain', dependencies: ['sockets'] },
)
