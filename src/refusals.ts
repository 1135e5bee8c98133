/**
 * Every refusal, once: its code, its HTTP status and its sentence. The statements return these codes. The
 * OpenAPI document and docs/reference.md are made from this table.
 */
export const refusals = {
  invalid_request: [400, 'The request breaks a rule of the schema; see errors.'],
  forbidden: [
    403,
    'A page of another site sent the request through a browser, or its Host is foreign.',
  ],
  execution_not_found: [404, 'This execution has no barrier, or none of this generation.'],
  batch_not_found: [404, 'This batch was never claimed, or its execution does not have it.'],
  callback_not_found: [404, 'The barrier of this execution has no callback.'],
  route_not_found: [404, 'There is no such route; see /docs.'],
  method_not_allowed: [405, 'The route exists, but not with this method; see Allow.'],
  request_timeout: [408, 'The request did not arrive in time.'],
  barrier_exists: [409, 'The execution already has a barrier.'],
  barrier_open: [409, 'The barrier of this execution is still open; abort it first.'],
  barrier_closed: [409, 'The barrier is closed; this batch was not counted and will not be.'],
  callback_pending: [409, 'The callback of this execution is still due or being delivered.'],
  stale_token: [409, 'This token is not the current one, or its work is already settled.'],
  stale_generation: [
    409,
    'A newer run of this execution is current; this call belongs to an older one.',
  ],
  batches_forgotten: [
    410,
    'The batches of this execution are forgotten; the counts of its barrier are kept.',
  ],
  payload_too_large: [413, 'The body, or a value in it, is larger than the limit.'],
  uri_too_long: [414, 'The path is longer than that of any route.'],
  unsupported_media_type: [
    415,
    'The body must be application/json in UTF-8, without a Content-Encoding.',
  ],
  expectation_failed: [417, 'The service meets no Expect other than 100-continue.'],
  batch_out_of_range: [422, 'The batch index is not below the total of the barrier.'],
  enqueue_mismatch: [422, 'The barrier, or the Idempotency-Key, exists with other content.'],
  unstorable_json: [422, 'The JSON holds NUL or a lone surrogate, which Postgres cannot store.'],
  callback_url_refused: [422, 'The callback URL may not be called from here.'],
  headers_too_large: [431, 'The request headers are larger than the limit.'],
  internal_error: [500, 'The service failed; its log has the cause under request_id.'],
  database_unavailable: [503, 'The database does not answer; the same call may be repeated.'],
  overloaded: [503, 'The service or one row is too busy; the same call may be repeated.'],
  not_ready: [503, 'The service cannot serve yet; /readyz says why.'],
  draining: [503, 'The service is stopping; send the call to another replica.'],
} as const satisfies Record<string, readonly [status: number, sentence: string]>

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
    super(members.detail ?? refusals[code][1], { cause })
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
    return refusals[this.code][0]
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
      title: refusals[code][1],
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
export function isSettled(code: string, batchStatus: string | undefined): boolean {
  return (
    code === 'stale_generation' ||
    code === 'barrier_closed' ||
    (code === 'stale_token' && batchStatus !== undefined)
  )
}
