import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import type { Socket } from 'node:net'
import { STATUS_CODES } from 'node:http'
import { stringify } from '../json.ts'
import { Refusal, type RefusalCode } from '../refusals.ts'

/** Fastify's own errors, in our words; what else is the caller's fault breaks a rule of the schema. */
const byFastifyCode: Readonly<Record<string, RefusalCode>> = {
  FST_ERR_MAX_PARAM_LENGTH: 'uri_too_long',
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
}

/** Node's errors of connections that never became a request. */
const byNodeCode: Readonly<Record<string, RefusalCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
  HPE_HEADER_OVERFLOW: 'headers_too_large',
}

/** Whatever goes wrong, wherever, is answered as problem details (RFC 9457). */
export const errors = plugin(
  async app => {
    app.setErrorHandler((error: FastifyError | Refusal, request, reply) =>
      refuse(error, request, reply),
    )
    app.setNotFoundHandler(request => {
      throw new Refusal('route_not_found', {
        detail: `There is no route ${request.method} ${request.url.split('?')[0]}; see /docs.`,
      })
    })
  },
  { name: 'errors' },
)

/** For Fastify's `frameworkErrors`: errors before a route was found. */
export function refuse(
  error: FastifyError | Refusal,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const refusal = refusalOf(error)
  if (refusal.status >= 500 && !(refusal.code === 'draining' || refusal.code === 'not_ready')) {
    request.log[refusal.status === 500 ? 'error' : 'warn'](
      { err: refusal.cause ?? refusal },
      refusal.message,
    )
  }
  return reply
    .code(refusal.status)
    .headers(refusal.headers)
    .type('application/problem+json')
    .serializer(stringify)
    .send({ ...refusal.problem, ...(refusal.status === 500 ? { request_id: request.id } : {}) })
}

function refusalOf(error: FastifyError | Refusal): Refusal {
  if (error instanceof Refusal) return error
  const code = byFastifyCode[error.code]
  if (code) return new Refusal(code)
  // Fastify says 400 also of a body that its sender gave up.
  if (error.statusCode !== 400)
    return new Refusal('internal_error', { effect: 'unknown' }, { cause: error })
  return new Refusal('invalid_request', {
    detail: error.message,
    errors: [{ path: '', message: error.message }],
  })
}

/** For Fastify's `clientErrorHandler`: what arrived is no HTTP request, so the reply is written by hand. */
export function refuseConnection(
  this: FastifyInstance,
  error: Error & { code?: string },
  socket: Socket,
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const code = byNodeCode[error.code ?? '']
  const message = 'The request is not HTTP/1.1.'
  const refusal = code
    ? new Refusal(code)
    : new Refusal('invalid_request', { detail: message, errors: [{ path: '', message }] })
  const text = stringify(refusal.problem)
  socket.end(
    [
      `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}`,
      'content-type: application/problem+json',
      `content-length: ${Buffer.byteLength(text)}`,
      'connection: close',
      '',
      text,
    ].join('\r\n'),
  )
}
