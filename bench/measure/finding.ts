import type { Scope } from './scope.ts'

export type Size = 'small' | 'full'

/** What a bench gets: how large to be, where to leave what it started, and whom to tell how far it is. */
export interface Setup {
  size: Size
  /** In place of the rounds of that size. */
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

/** What a claim of the README rests on: two series of one run, divided round by round. */
export interface Ratio {
  name: string
  values: number[]
  goal?: { least: number } | { most: number }
}

export interface Finding {
  series: Series[]
  ratios: Ratio[]
  /** How each contender was set up, how durable it is, and what was left out. */
  notes: string[]
}

export interface Bench {
  claim: string
  /** After this long it is ended, whatever it does. */
  minutes: Record<Size, number>
  run: (setup: Setup) => Promise<Finding>
}
