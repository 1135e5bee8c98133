import type { FromWorker } from './channel.ts'

export interface Counts {
  batches: number
  /** Claims that were answered with `claimed`. */
  granted: number
  /** Batches that were granted and are not recorded yet. */
  in_progress: number
  /** Batches that are recorded. */
  finished: number
  /** Claims that were granted after the lease of an earlier grant. */
  taken_over: number
  /** Decrements that were refused because a newer grant exists. */
  fenced: number
  /** Deliveries that were acknowledged without work, because their claim was already `settled`. */
  needless: number
  /** Deliveries that were given back, because they were neither `claimed` nor `settled`. */
  given_back: number
}

/** Counts the replies that the workers got, from their reports. */
export class Tally {
  batches = 0
  readonly #granted = new Set<number>()
  readonly #finished = new Set<number>()
  readonly #counts = { granted: 0, taken_over: 0, fenced: 0, needless: 0, given_back: 0 }

  hear(said: FromWorker): void {
    const counts = this.#counts
    if (said.type === 'give_back') counts.given_back += 1
    if (said.type === 'claim' && said.claimed) {
      this.#granted.add(said.batch_index)
      counts.granted += 1
      if (said.attempt > 1) counts.taken_over += 1
    }
    if (said.type === 'claim' && said.settled) counts.needless += 1
    if (said.type === 'decrement') {
      if (isCounted(said.outcome)) this.#finished.add(said.batch_index)
      if (said.outcome === 'stale_token') counts.fenced += 1
    }
  }

  get counts(): Counts {
    const finished = this.#finished.size
    const in_progress = this.#granted.size - finished
    return { batches: this.batches, ...this.#counts, in_progress, finished }
  }
}

/** A duplicate under the newest token is the repeat of a call whose reply was lost. */
export function isCounted(outcome: string): boolean {
  return outcome === 'recorded' || outcome === 'duplicate'
}
