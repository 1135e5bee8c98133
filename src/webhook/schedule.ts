/** Seconds between one attempt and the next. They end 18 to 22 hours after the first. */
const WAITS_SECONDS = [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000] as const

/** Attempts of one callback; after the last it is dead. */
export const ATTEMPTS = WAITS_SECONDS.length + 1

/** The longest wait that a receiver may ask for. */
export const MOST_SECONDS = 36_000

/** The largest share that chance adds to a wait. */
const JITTER = 0.25

/**
 * How long to wait after the attempt of this number (from 1) failed, or undefined when it was the last.
 *
 * A receiver that names a time with `Retry-After` gets it, from the scheduled wait up to ten hours. Jitter only makes a
 * wait longer, because a receiver may be asked later than it wished but not sooner. It is up to a quarter: callbacks that
 * failed together when a receiver fell come back one after the other, and the schedule is still recognisable.
 */
export function waitSeconds(
  attempt: number,
  askedSeconds = 0,
  random: () => number = Math.random,
): number | undefined {
  const scheduled = WAITS_SECONDS[attempt - 1]
  if (scheduled === undefined) return undefined
  const wait = Math.max(scheduled, Math.min(askedSeconds, MOST_SECONDS))
  return wait * (1 + JITTER * random())
}

/**
 * Seconds from `now` (in ms) until the time that `Retry-After` names, in either form of RFC 9110; undefined if it is neither.
 * If it is given more than once, the longest counts. However many digits it has, the wait is MOST_SECONDS at most.
 */
export function retryAfterSeconds(
  header: string | string[] | undefined,
  now: number = Date.now(),
): number | undefined {
  const waits = [header ?? []].flat().flatMap(value => secondsOf(value, now) ?? [])
  return waits.length === 0 ? undefined : Math.min(MOST_SECONDS, Math.max(...waits))
}

function secondsOf(value: string, now: number): number | undefined {
  if (/^\d+$/.test(value)) return Number(value)
  const date = /^[a-z]{3,9}, /i.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000))
}
