/** `with_batch_status`: settled when the statement returns the batch's status, which it does only of ended work. */
interface Row {
  status: number
  sentence: string
  settled: 'no' | 'with_batch_status' | 'yes'
}

/**
 * Every refusal, once: its code, its HTTP status, its sentence, and whether it settles the message of a batch. The
 * statements return these codes. The OpenAPI document and docs/reference.md are made from this table.
 */
export const refusals = {
  invalid_request: {
    status: 400,
    sentence: 'The request breaks a rule of the schema; see errors.',
    settled: 'no',
  },
  forbidden: {
    status: 403,
    sentence: 'A page of another site sent the request through a browser, or its Host is foreign.',
    settled: 'no',
  },
  execution_not_found: {
    status: 404,
    sentence: 'This execution has no barrier, or none of this generation.',
    settled: 'no',
  },
  batch_not_found: {
    status: 404,
    sentence: 'This batch was never claimed, or its execution does not have it.',
    settled: 'no',
  },
  callback_not_found: {
    status: 404,
    sentence: 'The barrier of this execution has no callback.',
    settled: 'no',
  },
  route_not_found: { status: 404, sentence: 'There is no such route; see /docs.', settled: 'no' },
  method_not_allowed: {
    status: 405,
    sentence: 'The route exists, but not with this method; see Allow.',
    settled: 'no',
  },
  request_timeout: { status: 408, sentence: 'The request did not arrive in time.', settled: 'no' },
  barrier_exists: { status: 409, sentence: 'The execution already has a barrier.', settled: 'no' },
  barrier_open: {
    status: 409,
    sentence: 'The barrier of this execution is still open; abort it first.',
    settled: 'no',
  },
  barrier_closed: {
    status: 409,
    sentence: 'The barrier is closed; this batch was not counted and will not be.',
    settled: 'yes',
  },
  callback_pending: {
    status: 409,
    sentence: 'The callback of this execution is still due or being delivered.',
    settled: 'no',
  },
  stale_token: {
    status: 409,
    sentence: 'This token is not the current one, or its work is already settled.',
    settled: 'with_batch_status',
  },
  stale_generation: {
    status: 409,
    sentence: 'A newer run of this execution is current; this call belongs to an older one.',
    settled: 'yes',
  },
  batches_forgotten: {
    status: 410,
    sentence: 'The batches of this execution are forgotten; the counts of its barrier are kept.',
    settled: 'no',
  },
  payload_too_large: {
    status: 413,
    sentence: 'The body, or a value in it, is larger than the limit.',
    settled: 'no',
  },
  uri_too_long: {
    status: 414,
    sentence: 'The path is longer than that of any route.',
    settled: 'no',
  },
  unsupported_media_type: {
    status: 415,
    sentence: 'The body must be application/json in UTF-8, without a Content-Encoding.',
    settled: 'no',
  },
  expectation_failed: {
    status: 417,
    sentence: 'The service meets no Expect other than 100-continue.',
    settled: 'no',
  },
  batch_out_of_range: {
    status: 422,
    sentence: 'The batch index is not below the total of the barrier.',
    settled: 'no',
  },
  enqueue_mismatch: {
    status: 422,
    sentence: 'The barrier, or the Idempotency-Key, exists with other content.',
    settled: 'no',
  },
  unstorable_json: {
    status: 422,
    sentence: 'The JSON holds NUL or a lone surrogate, which Postgres cannot store.',
    settled: 'no',
  },
  callback_url_refused: {
    status: 422,
    sentence: 'The callback URL may not be called from here.',
    settled: 'no',
  },
  headers_too_large: {
    status: 431,
    sentence: 'The request headers are larger than the limit.',
    settled: 'no',
  },
  internal_error: {
    status: 500,
    sentence: 'The service failed; its log has the cause under request_id.',
    settled: 'no',
  },
  database_unavailable: {
    status: 503,
    sentence: 'The database does not answer; the same call may be repeated.',
    settled: 'no',
  },
  overloaded: {
    status: 503,
    sentence: 'The service or one row is too busy; the same call may be repeated.',
    settled: 'no',
  },
  not_ready: {
    status: 503,
    sentence: 'The service cannot serve yet; /readyz says why.',
    settled: 'no',
  },
  draining: {
    status: 503,
    sentence: 'The service is stopping; send the call to another replica.',
    settled: 'no',
  },
} as const satisfies Record<string, Row>
