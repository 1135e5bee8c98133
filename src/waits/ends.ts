import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { z } from 'zod'
import { coalesce, type Run } from '../database/coalesce.ts'
import { listen } from './listen.ts'
import { type Database, execute, statement } from '../database/statement.ts'
import { stringify } from '../json/raw.ts'
import { loop } from '../loop.ts'
import { Pieces } from './pieces.ts'
import { Waiter } from './waiter.ts'

const endedSql = statement('ended.sql', import.meta.url)
const notifySql = statement('notify.sql', import.meta.url)

export interface Execution {
  namespace: string
  execution_id: string
}

/** An execution changed: its barrier closed or was replaced, or its callback is due, in this queue or to be posted. */
const Hint = z.object({
  namespace: z.string(),
  execution_id: z.string(),
  queue: z.string().optional(),
  posts: z.literal(true).optional(),
})

export type Hint = z.output<typeof Hint>

/** A barrier that closed. */
export interface Closing extends Execution {
  generation: number
  state: string
  callback_id?: string | undefined
}

/** A caller that waits for the end of an execution; registered before the state is read, so that no end is missed. */
export interface EndWaiter {
  /**
   * Whether the generation may have changed, so that its state is to be read again; false at the deadline (of
   * `performance.now()`) or when the service drains.
   */
  woken: (generation: number, deadline: number) => Promise<boolean>
  leave: () => void
}

/**
 * Wakes callers when barriers end: at once in the replica that closed one, by NOTIFY in the others, and by one query a second
 * for the ends that both missed. Waiting holds no connection.
 */
export class Ends {
  readonly #database: Database
  readonly #connection: pg.ClientConfig
  readonly #log: FastifyBaseLogger
  readonly #send: Run<{ outcome: string; queue?: string; posts?: true }>
  readonly #waiting = new Map<string, Set<{ generation: number; waiter: Waiter }>>()
  readonly #drained = new AbortController()
  readonly #pieces = new Pieces(this.#drained.signal)
  readonly #listeners: ((hint: Hint) => void)[] = []
  #loops: Promise<unknown> = Promise.resolve()

  constructor(database: Database, connection: pg.ClientConfig, log: FastifyBaseLogger) {
    this.#database = database
    this.#connection = connection
    this.#log = log
    this.#send = coalesce(database, notifySql)
  }

  start(): void {
    const { signal } = this.#drained
    this.#loops = Promise.all([
      listen(this.#connection, 'rollcall_closings', payload => this.#heard(payload), signal),
      loop(() => this.lookOnce(), { restMs: 1000, signal }),
    ])
  }

  /** Answers every waiter early and ends the loops. */
  async drain(): Promise<void> {
    this.#drained.abort()
    for (const key of this.#waiting.keys()) this.#wake(key)
    await this.#loops
  }

  /** Writes the end of a barrier into the log, and tells all replicas. */
  closed({ namespace, execution_id, generation, state, callback_id }: Closing): void {
    this.#log.info({ execution_id, generation, callback_id, state }, 'A barrier closed.')
    this.notify({ namespace, execution_id })
  }

  /** Calls `hear` with every hint, from this replica and the others; those of this replica may come twice. */
  onNotify(hear: (hint: Hint) => void): void {
    this.#listeners.push(hear)
  }

  /** Tells this replica and the others that an execution's barrier closed or was replaced, or its callback is due again. */
  notify(execution: Execution): void {
    this.#wake(keyOf(execution))
    const { namespace, execution_id } = execution
    // If this is lost, the others find out by their query a second later.
    this.#send([{ namespace, execution_id }]).then(
      ([due]) => this.#hint({ ...due, namespace, execution_id }),
      (error: unknown) =>
        this.#log.warn({ err: error }, 'An end could not be announced to the other replicas.'),
    )
  }

  /** How many callers wait. */
  get waiting(): number {
    return [...this.#waiting.values()].reduce((sum, { size }) => sum + size, 0)
  }

  wait(execution: Execution): EndWaiter {
    const key = keyOf(execution)
    const waiter = new Waiter(this.#drained.signal)
    const entry = { generation: 0, waiter }
    const waiters = this.#waiting.get(key) ?? new Set()
    this.#waiting.set(key, waiters.add(entry))
    return {
      woken: async (generation, deadline) => {
        entry.generation = generation
        return (await waiter.woken(deadline)) && waiters.has(entry)
      },
      leave: () => {
        if (!waiters.delete(entry)) return
        if (waiters.size === 0) this.#waiting.delete(key)
        waiter.wake()
      },
    }
  }

  /** One query for all executions that callers wait for, while none fails; returns 0, so that the loop rests a second. */
  async lookOnce(): Promise<0> {
    const asks = [...this.#waiting].flatMap(([key, waiters]) =>
      [...new Set([...waiters].map(({ generation }) => generation))]
        .filter(generation => generation > 0)
        .map(generation => ({ ...executionOf(key), generation })),
    )
    try {
      await this.#pieces.look(asks, async piece => {
        const ended = await execute<Execution>(this.#database, endedSql, [stringify(piece)])
        for (const execution of ended) this.#wake(keyOf(execution))
      })
    } catch (error) {
      this.#log.warn({ err: error }, 'The barriers that are waited for could not be read.')
    }
    return 0
  }

  #heard(payload: string): void {
    const hint = hintIn(payload)
    if (hint === undefined) return
    this.#wake(keyOf(hint))
    this.#hint(hint)
  }

  #hint(hint: Hint): void {
    for (const hear of this.#listeners) hear(hint)
  }

  #wake(key: string): void {
    for (const { waiter } of this.#waiting.get(key) ?? []) waiter.wake()
  }
}

function keyOf({ namespace, execution_id }: Execution): string {
  return JSON.stringify([namespace, execution_id])
}

function executionOf(key: string): Execution {
  const [namespace, execution_id] = JSON.parse(key) as [string, string]
  return { namespace, execution_id }
}

/** Everybody that may connect can send a NOTIFY, and so can another version of the service: a text that is no hint is ignored. */
function hintIn(payload: string): Hint | undefined {
  try {
    const { success, data } = Hint.safeParse(JSON.parse(payload))
    return success ? data : undefined
  } catch {
    return undefined
  }
}
