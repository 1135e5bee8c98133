import type { FastifyBaseLogger } from 'fastify'
import { DatabaseRefusal } from '../../database/fault.ts'

/** What one statement of a step takes on: at most so many rows, behind so many that are passed over. */
export interface Bounds {
  most: number
  passed: number
}

interface Step {
  name: string
  /** So many rows, while none fails. */
  largest: number
  log: FastifyBaseLogger
  /** The reaper stops: no statement begins any more. */
  signal: AbortSignal
}

/** So many statements may fail in one turn; the next turn goes on where this one stopped. */
const MOST_FAILURES = 30

/**
 * One step of the reaper, in statements that each succeed. One that failed or timed out is tried at half its size, down to a
 * single row; a row that fails alone is passed over and told of, so that it holds up no other. What is passed over always
 * comes first in the order of the step, since all before it is done: so it is enough to count it. Once nothing else is left,
 * the rows that were passed over are tried again, in a later turn.
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

  /** One statement, and where it fails as many as everything else takes. Returns how much was done. */
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

  /** What was passed over is not ahead any more: the step looks elsewhere. */
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

/** Whether fewer rows may fare better; a database that is not there is nobody's fault. */
function isOfRows(error: unknown): error is DatabaseRefusal {
  return error instanceof DatabaseRefusal && error.alone
}
