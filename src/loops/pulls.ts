import type { FastifyInstance } from 'fastify'
import { ask, statement } from '../database/statement.ts'
import { Bell, loop } from './loop.ts'
import { type Waiter, Waiters } from './waiters.ts'

const sql = statement('pulls.sql', import.meta.url)

interface Queue {
  namespace: string
  queue: string
}

/**
 * Callers who wait for a callback of a queue. Whatever may have made one due rings; then, and once a second, one query for all
 * of them tells which queues have something, and as many are woken as there is something for.
 */
export class Pulls {
  readonly #app: FastifyInstance
  readonly #bell = new Bell()
  readonly #drained = new AbortController()
  readonly #waiters = new Waiters<Queue>(this.#drained.signal)
  #loop: Promise<void> = Promise.resolve()

  constructor(app: FastifyInstance) {
    this.#app = app
    app.closings.onHint(() => this.#bell.ring())
  }

  start(): void {
    const { signal } = this.#drained
    this.#loop = loop(() => this.lookOnce(), { restMs: 1000, signal, bell: this.#bell })
  }

  /** Answers every waiter early and ends the loop. */
  async drain(): Promise<void> {
    this.#drained.abort()
    await this.#loop
  }

  expect(queue: Queue): Waiter<Queue> {
    return this.#waiters.expect(keyOf(queue))
  }

  /** Returns 0, so that the loop rests. */
  async lookOnce(): Promise<0> {
    const asks = new Map<string, Queue & { waiters: number }>()
    for (const [key, { namespace, queue }] of this.#waiters.subjects()) {
      const { waiters = 0 } = asks.get(key) ?? {}
      asks.set(key, { namespace, queue, waiters: waiters + 1 })
    }
    if (asks.size === 0) return 0
    try {
      const found = await ask<Queue & { due: number }>(this.#app.database, sql, [...asks.values()])
      for (const { due, ...queue } of found) this.#waiters.wake(keyOf(queue), due)
    } catch (error) {
      this.#app.log.warn({ err: error }, 'The queues that are waited for could not be read.')
    }
    return 0
  }
}

function keyOf({ namespace, queue }: Queue): string {
  return JSON.stringify([namespace, queue])
}
