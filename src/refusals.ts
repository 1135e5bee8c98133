import { refusals } from './refusals/table.ts'

export type RefusalCode = keyof typeof refusals

/** The effect of a refused call: none, or unknown, and then the same call has to be repeated. */
export type Effect = 'none' | 'unknown'

/** Members of the problem beside the standard ones: the facts that a worker needs. */
export type RefusalMembers = Readonly<Record<string, unknown>>

/** A refusal on its way to the caller. `detail` is about this request; without it the table's sentence is used. */
export class Refusal extends Error {
  override name = 'Refusal'
  readonly code: RefusalCode
  readonly members: RefusalMembers
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: RefusalCode,
    members: RefusalMembers & { detail?: string } = {},
    { headers = {}, cause }: { headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(members.detail ?? refusals[code].sentence, { cause })
    this.code = code
    this.members = members
    this.headers = headers
  }

  /** The same refusal for a call that may have had an effect before it failed. */
  inDoubt(): Refusal {
    const { code, members, headers, cause } = this
    // Only a 5xx says that something may have been stored.
    if (this.status < 500)
      return new Refusal('internal_error', { effect: 'unknown' }, { cause: this })
    return new Refusal(code, { ...members, effect: 'unknown' satisfies Effect }, { headers, cause })
  }

  get status(): number {
    return refusals[this.code].status
  }

  /**
   * The body of the reply (RFC 9457). Every 5xx names the effect that the call may have had. A batch's own status is
   * called `batch_status`, because `status` is the reply's.
   */
  get problem(): Record<string, unknown> {
    const { status, code, message } = this
    const { status: batch_status, ...members } = this.members
    const effect = status >= 500 ? { effect: 'none' satisfies Effect } : {}
    return {
      type: `urn:rollcall:problem:${code}`,
      title: refusals[code].sentence,
      status,
      detail: message,
      code,
      ...effect,
      ...(batch_status === undefined ? {} : { batch_status }),
      ...members,
    }
  }
}

/** Nothing was begun; the caller may try again in a second. */
export function overloaded(): Refusal {
  return new Refusal('overloaded', {}, { headers: { 'retry-after': '1' } })
}

/** Whether a worker that gets this refusal may acknowledge its message, because nothing is left to do for this batch. */
export function isSettled(code: RefusalCode, batchStatus: string | undefined): boolean {
  const { settled } = refusals[code]
  return settled === 'yes' || (settled === 'with_batch_status' && batchStatus !== undefined)
}
