import type { FastifyInstance } from 'fastify'
import type { Config } from '../../config.ts'
import { execute, statement } from '../../database/statement.ts'
import { Sweep } from './sweep.ts'

/** Barriers first: those whose last batches the turn before forgot. */
const bothKinds = ['barriers', 'batches'] as const

/** The kinds of rows that retention forgets, each with the setting that says after how long. */
const steps = {
  claims: {
    sql: statement('forget-claims.sql', import.meta.url),
    setting: 'ROLLCALL_RETAIN_CLAIMS_SECONDS',
    sentence: 'Claims without a barrier were forgotten.',
    kinds: [undefined],
  },
  replaced: {
    sql: statement('forget-replaced.sql', import.meta.url),
    setting: 'ROLLCALL_RETAIN_REPLACED_SECONDS',
    sentence: 'Batches of replaced generations were forgotten.',
    kinds: bothKinds,
  },
  batches: {
    sql: statement('forget-batches.sql', import.meta.url),
    setting: 'ROLLCALL_RETAIN_BATCHES_SECONDS',
    sentence: 'Batches of closed barriers were forgotten.',
    kinds: bothKinds,
  },
  barriers: {
    sql: statement('forget-barriers.sql', import.meta.url),
    setting: 'ROLLCALL_RETAIN_TOMBSTONES_SECONDS',
    sentence: 'Tombstones were forgotten.',
    kinds: bothKinds,
  },
} as const

/** The steps that forget. */
export class Retention {
  readonly #app: Pick<FastifyInstance, 'database' | 'log'>
  readonly #config: Config
  readonly #signal: AbortSignal
  readonly #sweeps: Readonly<Record<keyof typeof steps, readonly Sweep[]>>

  constructor(app: Pick<FastifyInstance, 'database' | 'log'>, config: Config, signal: AbortSignal) {
    this.#app = app
    this.#config = config
    this.#signal = signal
    this.#sweeps = {
      claims: this.#sweepsOf('claims'),
      replaced: this.#sweepsOf('replaced'),
      batches: this.#sweepsOf('batches'),
      barriers: this.#sweepsOf('barriers'),
    }
  }

  async turn(step: keyof typeof steps): Promise<number> {
    let done = 0
    for (const sweep of this.#sweeps[step]) done += await sweep.turn()
    return done
  }

  /** One for each kind of row that the statement forgets, so that a row that fails is passed over by itself. */
  #sweepsOf(step: keyof typeof steps): Sweep[] {
    const { sql, setting, sentence, kinds } = steps[step]
    const { database, log } = this.#app
    const seconds = this.#config[setting]
    const bounded = { name: `forget-${step}`, largest: 1000, log, signal: this.#signal }
    return kinds.map(
      kind =>
        new Sweep(bounded, async ({ most, passed }) => {
          const values = [seconds, most, passed, ...(kind === undefined ? [] : [kind])]
          const { length: forgotten } = await execute(database, sql, values)
          if (forgotten > 0) log.info({ forgotten }, sentence)
          return forgotten
        }),
    )
  }
}
