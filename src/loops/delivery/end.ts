import type { Attempt } from '../../webhook/post.ts'
import { waitSeconds } from '../../webhook/schedule.ts'

function isTaken({ status = 0 }: Attempt): boolean {
  return status >= 200 && status < 300
}

/** The next state of the callback: 410 means that the receiver wants none any more. */
export function endOf(
  attempt: Attempt,
  nth: number,
): { state: 'delivered' | 'due' | 'dead'; wait_seconds?: number } {
  if (isTaken(attempt)) return { state: 'delivered' }
  const wait_seconds =
    attempt.status === 410 ? undefined : waitSeconds(nth, attempt.retry_after_seconds)
  return wait_seconds === undefined ? { state: 'dead' } : { state: 'due', wait_seconds }
}

/** The attempt as the callback shows it, without the response if only this network reaches the receiver. */
export function recordOf(attempt: Attempt): object {
  const { status = null, error = null, milliseconds } = attempt
  const response = attempt.is_private ? null : (attempt.response ?? null)
  const outcome = isTaken(attempt) ? 'delivered' : 'failed'
  return { outcome, status, error, milliseconds, response }
}
