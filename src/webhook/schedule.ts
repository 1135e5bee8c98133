/** Seconds between one attempt and the next. They end 18 to 22 hours after the first. */
const WAITS_SECONDS = [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000] as const

/** Attempts of one callback; after the last it is dead. */
export const ATTEMPTS = WAITS_SECONDS.length + 1

/** The longest that a receiver may ask to be left alone. */
const MOST_SECONDS = 36_000

/** How much longer than that a wait may be, by chance. */
const JITTER = 0.25

/**
 * How long to wait after the attempt of this number (from 1) failed, or undefined when it was the last.
 *
 * A receiver that names a time with `Retry-After` gets it, from the scheduled wait up to ten hours. Jitter is added to
 * either and never taken away, because a receiver may be asked later than it wished but not sooner. It is a quarter, so
 * that the callbacks which failed together when a receiver fell come back one after the other, and the schedule is
 * still the schedule.
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

/** Seconds from `now` (in ms) until the time that `Retry-After` names, in either form of RFC 9110; none if it is neither. */
export function retryAfterSeconds(header: string, now: number = Date.now()): number | undefined {
  // What a receiver may ask for ends at MOST_SECONDS, so nine digits are more than enough.
  if (/^\d{1,9}$/.test(header)) return Number(header)
  const date = /^[a-z]{3,9}, /i.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000))
}
