import type { FastifyBaseLogger } from 'fastify'
import { type Database, execute, statement } from '../database/statement.ts'
import { stringify } from '../json/raw.ts'
import type { Ends } from './ends.ts'
import { loop } from '../loop.ts'
import { Pieces } from './pieces.ts'
import { Waiter } from './waiter.ts'

const sql = statement('due.sql', import.meta.url)

export interface Queue {
  namespace: string
  queue: string
}

/** A caller that waits for a callback; registered before the first look, so that none is missed. */
export interface QueueWaiter {
  /** Whether a callback may be due and this caller is to look; false at the deadline, once it left, or when the service drains. */
  woken: (deadline: number) => Promise<boolean>
  /** The caller has its callback, or is gone: nothing is to be leased for it any more. */
  leave: () => void
}

/**
 * The callers that wait at queues. When a callback is due, each replica wakes a single waiter, the one there longest, so that a
 * thousand do not look for the same callback. Hints of ends wake them, and so does one query a second, which finds the callbacks
 * that the hints missed or that became due by time.
 */
export class Queues {
  readonly #database: Database
  readonly #log: FastifyBaseLogger
  readonly #waiting = new Map<string, Set<Waiter>>()
  readonly #drained = new AbortController()
  readonly #pieces = new Pieces(this.#drained.signal)
  #loop: Promise<void> = Promise.resolve()

  constructor(database: Database, ends: Ends, log: FastifyBaseLogger) {
    this.#database = database
    this.#log = log
    ends.onNotify(({ namespace, queue }) => {
      if (queue !== undefined) this.wake({ namespace, queue }, 1)
    })
  }

  start(): void {
    const { signal } = this.#drained
    this.#loop = loop(() => this.lookOnce(), { restMs: 1000, signal })
  }

  /** Answers every waiter early and ends the loop. */
  async drain(): Promise<void> {
    this.#drained.abort()
    for (const waiters of this.#waiting.values()) for (const waiter of waiters) waiter.wake()
    await this.#loop
  }

  /** How many callers wait. */
  get waiting(): number {
    return [...this.#waiting.values()].reduce((sum, { size }) => sum + size, 0)
  }

  wait(queue: Queue): QueueWaiter {
    const key = keyOf(queue)
    const waiter = new Waiter(this.#drained.signal)
    const waiters = this.#waiting.get(key) ?? new Set()
    this.#waiting.set(key, waiters.add(waiter))
    return {
      woken: async deadline => {
        const woken = waiters.has(waiter) && (await waiter.woken(deadline))
        return woken && waiters.has(waiter)
      },
      leave: () => {
        if (!waiters.delete(waiter)) return
        if (waiters.size === 0 && this.#waiting.get(key) === waiters) this.#waiting.delete(key)
        // Woken while it looked, or as it left: the next waiter looks in its place.
        if (waiter.isWoken) this.wake(queue, 1)
        else waiter.wake()
      },
    }
  }

  /** Wakes the `count` that wait longest. */
  wake(queue: Queue, count: number): void {
    const asleep = [...(this.#waiting.get(keyOf(queue)) ?? [])].filter(({ isWoken }) => !isWoken)
    for (const waiter of asleep.slice(0, count)) waiter.wake()
  }

  /** One query for all queues where callers wait, while none fails; returns 0, so that the loop rests a second. */
  async lookOnce(): Promise<0> {
    const asks = [...this.#waiting].map(([key, { size }]) => ({ ...queueOf(key), waiting: size }))
    try {
      await this.#pieces.look(asks, async piece => {
        const values = [stringify(piece)]
        const found = await execute<Queue & { due: number }>(this.#database, sql, values)
        for (const { due, ...queue } of found) this.wake(queue, due)
      })
    } catch (error) {
      this.#log.warn({ err: error }, 'The queues that are waited at could not be read.')
    }
    return 0
  }
}

function keyOf({ namespace, queue }: Queue): string {
  return JSON.stringify([namespace, queue])
}

function queueOf(key: string): Queue {
  const [namespace, queue] = JSON.parse(key) as [string, string]
  return { namespace, queue }
}
