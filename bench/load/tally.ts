import { quantile } from '../measure/rounds.ts'

export interface Latency {
  p50Ms: number
  p99Ms: number
  maxMs: number
  count: number
}

/** The tally of a load: how often each outcome came, and how long each step took. */
export interface Tally {
  operations: number
  seconds: number
  outcomes: Record<string, number>
  latencies: Record<string, Latency>
  /** The part of one core that the load generator used. Near 1, the generator itself was the limit. */
  generatorCores: number
}

export class Counter {
  readonly #begin = performance.now()
  readonly #cpu = process.cpuUsage()
  readonly #outcomes = new Map<string, number>()
  readonly #steps = new Map<string, number[]>()

  count(outcome: string): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1)
  }

  took(step: string, ms: number): void {
    const known = this.#steps.get(step)
    if (known) known.push(ms)
    else this.#steps.set(step, [ms])
  }

  tally(): Tally {
    const seconds = (performance.now() - this.#begin) / 1000
    const { user, system } = process.cpuUsage(this.#cpu)
    return {
      operations: [...this.#outcomes.values()].reduce((sum, count) => sum + count, 0),
      seconds,
      outcomes: Object.fromEntries(this.#outcomes),
      latencies: Object.fromEntries(
        [...this.#steps].map(([step, values]) => [step, latencyOf(values)]),
      ),
      generatorCores: (user + system) / 1e6 / seconds,
    }
  }
}

function latencyOf(values: readonly number[]): Latency {
  return {
    p50Ms: quantile(values, 0.5),
    p99Ms: quantile(values, 0.99),
    maxMs: quantile(values, 1),
    count: values.length,
  }
}
