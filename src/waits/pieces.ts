import { DatabaseRefusal } from '../database/fault.ts'

/**
 * One query for many things, in pieces that each succeed. A piece that fails or times out is asked for by halves, down to a
 * single thing, which is passed over until the next time. So one row, or bloat, keeps nobody else from being looked for.
 */
export class Pieces {
  readonly #signal: AbortSignal
  /** Grows only once nothing failed, so that where one row stays bad only the first time halves. */
  #most = Number.MAX_SAFE_INTEGER

  /** `signal`: nothing more is asked for. */
  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Rejects with the last failure, after all others were looked for. */
  async look<Ask>(asks: Ask[], query: (piece: Ask[]) => Promise<void>): Promise<void> {
    let failure: DatabaseRefusal | undefined
    for (let from = 0; from < asks.length && !this.#signal.aborted;) {
      const piece = asks.slice(from, from + this.#most)
      try {
        await query(piece)
        from += piece.length
      } catch (error) {
        if (!mayBeOfOne(error)) throw error
        failure = error
        this.#most = Math.max(1, Math.floor(piece.length / 2))
        if (piece.length === 1) from += 1
      }
    }
    if (failure) throw failure
    this.#most = Math.min(Number.MAX_SAFE_INTEGER, this.#most * 2)
  }
}

/** Whether less of the same may do. A database that is gone refuses the next connection, with which the look ends. */
function mayBeOfOne(error: unknown): error is DatabaseRefusal {
  return error instanceof DatabaseRefusal && (error.alone || error.effect === 'unknown')
}
