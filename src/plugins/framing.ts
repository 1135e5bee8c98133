import plugin from 'fastify-plugin'
import type { IncomingMessage } from 'node:http'
import { Refusal } from '../refusals.ts'

/** Headers that decide something here and have one value. Node would keep the first of two, or join them to a third value. */
const SINGLE = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'idempotency-key',
  'origin',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
])

/**
 * Refuses requests that a proxy and this service could read differently (RFC 9112), and ends their connections. Tells browsers
 * to trust the type of each reply.
 */
export const framing = plugin(
  async app => {
    app.addHook('onRequest', (request, reply, next) => {
      reply.header('x-content-type-options', 'nosniff')
      const refusal = refusalOf(request.raw)
      if (refusal === undefined) return next()
      reply.header('connection', 'close')
      next(refusal)
    })
  },
  { name: 'framing' },
)

function refusalOf({ headers, rawHeaders, httpVersion }: IncomingMessage): Refusal | undefined {
  // Nearly every client sends each name once, and then there is nothing to look for.
  if (rawHeaders.length > 2 * Object.keys(headers).length) {
    const twice = rawHeaders
      .filter((_, index) => index % 2 === 0)
      .map(name => name.toLowerCase())
      .find((name, index, names) => SINGLE.has(name) && names.indexOf(name) < index)
    if (twice !== undefined) return invalid(twice, 'It may be sent once only.')
  }
  if (headers.host === undefined && httpVersion === '1.1')
    return invalid('host', 'It is required in HTTP/1.1.')
  if (headers['transfer-encoding'] !== undefined && httpVersion === '1.0')
    return invalid('transfer-encoding', 'HTTP/1.0 has no Transfer-Encoding.')
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue')
    return new Refusal('expectation_failed')
  return undefined
}

function invalid(path: string, message: string): Refusal {
  return new Refusal('invalid_request', {
    detail: `${path}: ${message}`,
    errors: [{ path, message }],
  })
}
