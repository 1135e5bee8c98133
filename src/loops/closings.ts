import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { coalesce, type Run } from '../database/coalesce.ts'
import { listen } from '../database/listen.ts'
import { ask, type Database, statement } from '../database/statement.ts'
import { loop } from './loop.ts'
import { type Waiter, Waiters } from './waiters.ts'

const closingsSql = statement('closings.sql', import.meta.url)
const announceSql = statement('announce.sql', import.meta.url)

export interface Execution {
  namespace: string
  execution_id: string
}

/** A barrier that closed. */
export interface Closing extends Execution {
  generation: number
  state: string
  callback_id?: string | undefined
}

/**
 * The ends of barriers, as they happen: heard at once in the replica that closed one, by NOTIFY in the others, and by one
 * query a second for whatever both missed. Waiting holds no connection.
 */
export class Closings {
  readonly #database: Database
  readonly #connection: pg.ClientConfig
  readonly #log: FastifyBaseLogger
  readonly #announce: Run<{ outcome: string }>
  readonly #onHint: (() => void)[] = []
  readonly #drained = new AbortController()
  /** By execution, for the end of a generation. */
  readonly #waiters = new Waiters<number>(this.#drained.signal)
  #loops: Promise<unknown> = Promise.resolve()

  constructor(database: Database, connection: pg.ClientConfig, log: FastifyBaseLogger) {
    this.#database = database
    this.#connection = connection
    this.#log = log
    this.#announce = coalesce(database, announceSql)
  }

  start(): void {
    const { signal } = this.#drained
    this.#loops = Promise.all([
      listen(this.#connection, 'rollcall_closings', payload => this.#hear(payload), signal),
      loop(() => this.lookOnce(), { restMs: 1000, signal }),
    ])
  }

  /** Answers every waiter early and ends the loops. */
  async drain(): Promise<void> {
    this.#drained.abort()
    await this.#loops
  }

  /** Writes the end of a barrier into the log, and tells everybody. */
  tell({ namespace, execution_id, generation, state, callback_id }: Closing): void {
    this.#log.info({ execution_id, generation, callback_id, state }, 'A barrier closed.')
    this.announce({ namespace, execution_id })
  }

  /** Calls `hint` whenever a barrier closed or was replaced, here or in another replica: something may be due. */
  onHint(hint: () => void): void {
    this.#onHint.push(hint)
  }

  /** Tells this replica and the others that an execution's barrier closed or was replaced. */
  announce(execution: Execution): void {
    this.#wake(keyOf(execution))
    const { namespace, execution_id } = execution
    // Others find out by their query a second later if this is lost.
    this.#announce([{ namespace, execution_id }]).catch((error: unknown) =>
      this.#log.warn({ err: error }, 'An end could not be announced to the other replicas.'),
    )
  }

  expect(execution: Execution): Waiter<number> {
    return this.#waiters.expect(keyOf(execution))
  }

  /** One query for all that is waited for; returns 0, so that the loop rests a second. */
  async lookOnce(): Promise<0> {
    const distinct = new Map(
      [...this.#waiters.subjects()].map(([key, generation]) => [
        `${key} ${generation}`,
        { ...executionOf(key), generation },
      ]),
    )
    const asks = [...distinct.values()]
    if (asks.length === 0) return 0
    try {
      const ended = await ask<Execution>(this.#database, closingsSql, asks)
      for (const execution of ended) this.#wake(keyOf(execution))
    } catch (error) {
      this.#log.warn({ err: error }, 'The barriers that are waited for could not be read.')
    }
    return 0
  }

  #hear(payload: string): void {
    this.#wake(keyOf(JSON.parse(payload) as Execution))
  }

  #wake(key: string): void {
    this.#waiters.wake(key)
    for (const hint of this.#onHint) hint()
  }
}

function keyOf({ namespace, execution_id }: Execution): string {
  return JSON.stringify([namespace, execution_id])
}

function executionOf(key: string): Execution {
  const [namespace, execution_id] = JSON.parse(key) as [string, string]
  return { namespace, execution_id }
}
