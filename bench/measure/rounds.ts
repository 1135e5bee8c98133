import type { Ratio, Series, Setup } from './finding.ts'

/** The measurements of one contender in one round, by the name and unit of each measure. */
export type Sample = Record<string, number>

export type Contenders = Record<string, (round: number) => Promise<Sample>>

/** The order of the contenders in a round. */
type Order = (names: readonly string[], round: number) => string[]

/** A B in one round, B A in the next, so that neither always meets the cache or the checkpoint that the other one left. */
export const alternating: Order = (names, round) =>
  round % 2 === 0 ? names.toReversed() : [...names]

/** Rounds of A B C A B C …, so that other work of the machine disturbs all of them alike. */
export class Rounds {
  readonly #samples: Record<string, Sample[]> = {}

  /** Round 0 warms up caches, plans and compilers, and is not kept. */
  static async of(
    contenders: Contenders,
    usual: number,
    { tell, rounds = usual }: Pick<Setup, 'tell' | 'rounds'>,
    inTurn: Order = names => [...names],
  ): Promise<Rounds> {
    const measured = new Rounds()
    for (let round = 0; round <= rounds; round += 1) {
      for (const name of inTurn(Object.keys(contenders), round)) {
        tell(round === 0 ? `warming up: ${name}` : `round ${round} of ${rounds}: ${name}`)
        const sample = await contenders[name]?.(round)
        if (sample && round > 0) (measured.#samples[name] ??= []).push(sample)
      }
    }
    return measured
  }

  values(contender: string, measure: string): number[] {
    return (this.#samples[contender] ?? []).map(sample => sample[measure] ?? Number.NaN)
  }

  median(contender: string, measure: string): number {
    return median(this.values(contender, measure))
  }

  series(): Series[] {
    return Object.entries(this.#samples).flatMap(([contender, samples]) =>
      Object.keys(samples[0] ?? {}).map(measure => ({
        contender,
        measure,
        values: samples.map(sample => sample[measure] ?? Number.NaN),
      })),
    )
  }

  /** The contender with the highest median. */
  best(contenders: readonly string[], measure: string): string {
    return contenders.reduce((best, next) =>
      this.median(next, measure) > this.median(best, measure) ? next : best,
    )
  }
}

export function ratioOf(
  name: string,
  above: readonly number[],
  below: readonly number[],
  goal?: Ratio['goal'],
): Ratio {
  const values = above.map((value, round) => value / (below[round] ?? Number.NaN))
  return { name, values, ...(goal && { goal }) }
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The smallest value that at least `part` of all values do not exceed. A median between two values is their mean. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  if (part === 0.5 && sorted.length > 0 && sorted.length % 2 === 0) {
    const upper = sorted.length / 2
    return ((sorted[upper - 1] ?? 0) + (sorted[upper] ?? 0)) / 2
  }
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN
}
