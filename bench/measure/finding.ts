import type { Scope } from './scope.ts'

export type Size = 'small' | 'full'

/** The inputs of a bench: its size, the scope that ends what it starts, and the listener for its progress. */
export interface Setup {
  size: Size
  /** Replaces the number of rounds of that size. */
  rounds?: number
  /** The commit that the working tree is compared with, where a bench compares two builds. */
  against?: string
  scope: Scope
  tell: (sentence: string) => void
}

/** One thing measured of one contender: a value for each round. */
export interface Series {
  contender: string
  measure: string
  values: number[]
}

/** The base of a published claim: two series of one run, divided round by round. */
export interface Ratio {
  name: string
  values: number[]
  goal?: { least: number } | { most: number }
}

export interface Finding {
  series: Series[]
  ratios: Ratio[]
  /** The set-up of each contender, its durability, and anything left out. */
  notes: string[]
}

export interface Bench {
  claim: string
  /** After this time the bench is ended in any case. */
  minutes: Record<Size, number>
  run: (setup: Setup) => Promise<Finding>
}
