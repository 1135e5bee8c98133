import { DatabaseRefusal } from '../database/fault.ts'

/**
 * Asks one query about many things, in pieces of a size that succeeds. A piece that fails or times out is halved, down to a
 * single thing, which is skipped until the next look. So one bad row, or bloat, does not hide the others.
 */
export class Pieces {
  readonly #signal: AbortSignal
  /** Grows only after a look without a failure: while a row stays bad, only the first look halves. */
  #most = Number.MAX_SAFE_INTEGER

  /** Once `signal` aborts, nothing more is asked. */
  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Rejects with the last failure, after all other pieces were asked for. */
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

/** Whether a smaller piece may succeed. A database that is gone refuses the next connection, and that ends the look. */
function mayBeOfOne(error: unknown): error is DatabaseRefusal {
  return error instanceof DatabaseRefusal && (error.blamesOneAsk || error.effect === 'unknown')
}
