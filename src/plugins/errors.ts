import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { DatabaseRefusal } from '../database/fault.ts'
import { stringify } from '../json/raw.ts'
import { Refusal, type RefusalCode } from '../refusals.ts'
import { RefusalLog } from './refusal-log.ts'

/** Codes for errors of Fastify and its plugins; every other 4xx is an `invalid_request`. */
const byStatus: Readonly<Record<number, RefusalCode>> = {
  // The answer does not show whether a file that is not served exists.
  403: 'route_not_found',
  404: 'route_not_found',
  413: 'payload_too_large',
  414: 'uri_too_long',
  415: 'unsupported_media_type',
}

const refused = new RefusalLog()

/** Every error is answered as problem details (RFC 9457). */
export const errors = plugin(
  async app => {
    app.setErrorHandler((error: FastifyError | Refusal, request, reply) =>
      refuse(error, request, reply),
    )
    app.setNotFoundHandler(request => {
      throw routeNotFound(request)
    })
  },
  { name: 'errors' },
)

/** Also serves as Fastify's `frameworkErrors`, for errors before a route was found. */
export function refuse(
  error: FastifyError | Refusal,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const refusal = refusalOf(error, request)
  // A 4xx from the database means that the schema let a wrong value through.
  if (refusal.status < 500 && refusal instanceof DatabaseRefusal)
    request.log.warn({ err: refusal.cause ?? refusal }, refusal.message)
  if (refusal.status === 500) request.log.error({ err: refusal.cause ?? refusal }, refusal.message)
  // A service that stops or is not fit shows that in its readiness.
  if (refusal.status === 503 && refusal.code !== 'draining' && refusal.code !== 'not_ready')
    refused.tell(request.server.log, refusal)
  // This sets nosniff too, because no hook runs for a request with a malformed path.
  return reply
    .code(refusal.status)
    .headers({ 'x-content-type-options': 'nosniff', ...refusal.headers })
    .type('application/problem+json')
    .serializer(stringify)
    .send({ ...refusal.problem, ...(refusal.status === 500 ? { request_id: request.id } : {}) })
}

function refusalOf(error: FastifyError | Refusal, request: FastifyRequest): Refusal {
  if (error instanceof Refusal) return error
  const { statusCode: status = 500 } = error
  const code = byStatus[status]
  if (code === 'route_not_found') return routeNotFound(request)
  if (code) return new Refusal(code)
  // Fastify also answers 400 for a body that its sender gave up.
  if (status < 400 || status >= 500)
    return new Refusal('internal_error', { effect: 'unknown' }, { cause: error })
  return new Refusal('invalid_request', {
    detail: error.message,
    errors: [{ path: '', message: error.message }],
  })
}

function routeNotFound({ method, url }: FastifyRequest): Refusal {
  return new Refusal('route_not_found', {
    detail: `There is no route ${method} ${url.split('?')[0]}; see /docs.`,
  })
}
