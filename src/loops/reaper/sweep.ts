import type { FastifyBaseLogger } from 'fastify'
import { DatabaseRefusal } from '../../database/fault.ts'

/** The rows that one statement of a step takes on: at most `most`, after the first `passed` are passed over. */
export interface Bounds {
  most: number
  passed: number
}

interface Step {
  name: string
  /** The number of rows in one statement, while none fails. */
  largest: number
  log: FastifyBaseLogger
  /** Aborts when the reaper stops: then no statement begins any more. */
  signal: AbortSignal
}

/** How many statements may fail in one turn; the next turn goes on where this one stopped. */
const MOST_FAILURES = 30

/**
 * One step of the reaper, in statements of a size that succeeds. A statement that failed or timed out is tried at half its
 * size, down to a single row. A row that fails alone is logged and passed over, so that it holds up no other. Rows passed over
 * always come first in the order of the step, since all others before them are done: so it is enough to count them. Once
 * nothing else is left, they are tried again, in a later turn.
 */
export class Sweep {
  readonly #step: Step
  readonly #run: (bounds: Bounds) => Promise<number>
  #most: number
  #passed = 0

  constructor(step: Step, run: (bounds: Bounds) => Promise<number>) {
    this.#step = step
    this.#most = step.largest
    this.#run = run
  }

  /** Runs one statement; after a failure, as many as the other rows need. Returns how much was done. */
  async turn(): Promise<number> {
    let done = 0
    for (let failures = 0; !this.#step.signal.aborted;) {
      try {
        const rows = await this.#run({ most: this.#most, passed: this.#passed })
        done += rows
        this.#most = Math.min(this.#step.largest, this.#most * 2)
        if (rows > 0 && failures > 0) continue
        if (rows === 0) this.#passed = 0
        return done
      } catch (error) {
        failures += 1
        if (!isOfRows(error) || failures > MOST_FAILURES) throw error
        this.#shrink(error)
      }
    }
    return done
  }

  /** Forgets the rows that were passed over: the step now looks behind them. */
  passNone(): void {
    this.#passed = 0
  }

  #shrink(error: DatabaseRefusal): void {
    if (this.#most > 1) {
      this.#most = Math.floor(this.#most / 2)
      return
    }
    this.#passed += 1
    this.#step.log.error(
      { err: error.cause, step: this.#step.name },
      'A row fails in this step; it is passed over and tried again later.',
    )
  }
}

/** Whether fewer rows may succeed; if the database is away, no row is at fault. */
function isOfRows(error: unknown): error is DatabaseRefusal {
  return error instanceof DatabaseRefusal && error.blamesOneAsk
}
