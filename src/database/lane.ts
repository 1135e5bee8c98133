import { overloaded } from '../refusals.ts'

export const MOST_ASKS = 1_000
export const MOST_BYTES = 4 * 1024 * 1024
/** The most calls that wait in one lane; more are refused. It is some seconds of work at the slowest rate measured. */
export const MOST_WAITING = 20_000

/** The asks of one request, which always share a run. */
export interface Call<Row> {
  count: number
  /** A JSON array of its asks. */
  json: string | Buffer
  bytes: number
  key: string
  /** Whether part of it may have been written: then no refusal of it says that it had no effect. */
  mayHaveRun: boolean
  answer: (rows: Row[]) => void
  refuse: (error: unknown) => void
}

/**
 * One run at a time, with the calls that wait when it begins. If a run does not find a slot and end within `waitMs`, every call
 * queued behind it is refused, and so is each new one until it ends.
 */
export class Lane<Row> {
  readonly #run: (take: () => Call<Row>[]) => Promise<void>
  readonly #waitMs: number
  readonly #onEmpty: () => void
  #waiting: Call<Row>[] = []
  #running = false
  #hangs = false

  constructor(
    run: (take: () => Call<Row>[]) => Promise<void>,
    waitMs: number,
    onEmpty: () => void = () => undefined,
  ) {
    this.#run = run
    this.#waitMs = waitMs
    this.#onEmpty = onEmpty
  }

  /** Returns whether there was room. */
  push(call: Call<Row>): boolean {
    if (this.#hangs || this.#waiting.length >= MOST_WAITING) return false
    this.#waiting.push(call)
    if (!this.#running) void this.#drain()
    return true
  }

  async #drain(): Promise<void> {
    this.#running = true
    while (this.#waiting.length > 0) {
      const clock = setTimeout(() => this.#refuseQueued(), this.#waitMs)
      await this.#run(() => this.#take())
      clearTimeout(clock)
      this.#hangs = false
    }
    this.#running = false
    this.#onEmpty()
  }

  #refuseQueued(): void {
    this.#hangs = true
    for (const call of this.#waiting.splice(0)) call.refuse(overloaded())
  }

  #take(): Call<Row>[] {
    let asks = 0
    let bytes = 0
    const end = this.#waiting.findIndex(call => {
      asks += call.count
      bytes += call.bytes
      return asks > MOST_ASKS || bytes > MOST_BYTES
    })
    // A single call above the cut runs alone.
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : Math.max(1, end))
  }
}
