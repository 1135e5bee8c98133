import type { Config } from '../../config.ts'
import { execute, statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { announceClosed, type Parts, type Reaped } from './reaped.ts'
import { type Bounds, Sweep } from './sweep.ts'

const sql = statement('exhaust.sql', import.meta.url)

interface Counted extends Partial<Reaped> {
  recorded?: number
  next?: RawJson
}

/** Walks through the batches at their last attempt, a part of them in each turn. */
export class Exhaustion {
  readonly #app: Parts
  readonly #graceSeconds: number
  readonly #sweep: Sweep
  /** Where the next look goes on. */
  #looked: RawJson | undefined

  constructor(app: Parts, config: Config, signal: AbortSignal) {
    this.#app = app
    this.#graceSeconds = config.ROLLCALL_EXHAUSTED_GRACE_SECONDS
    const step = { name: 'exhaust', largest: 1000, log: app.log, signal }
    this.#sweep = new Sweep(step, bounds => this.#record(bounds))
  }

  turn(): Promise<number> {
    return this.#sweep.turn()
  }

  async #record({ most, passed }: Bounds): Promise<number> {
    const values = [this.#looked?.text, most, passed, this.#graceSeconds]
    const rows = await execute<Counted>(this.#app.database, sql, values)
    this.#looked = rows[0]?.next
    const counted = rows.filter((row): row is Reaped & { recorded: number } => 'recorded' in row)
    let done = 0
    for (const { recorded, ...barrier } of counted) {
      const { execution_id, generation, state } = barrier
      this.#app.log.info(
        { execution_id, generation, recorded },
        'Batches that were out of attempts are recorded as failed.',
      )
      if (state !== 'open') announceClosed(this.#app, barrier)
      done += recorded
    }
    if (!this.#looked) return done
    // One more, so that the loop does not rest: there are more batches, behind the ones that were passed over.
    this.#sweep.passNone()
    return done + 1
  }
}
