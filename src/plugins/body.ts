import type { FastifyError, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import type { IncomingHttpHeaders } from 'node:http'
import type { Config } from '../config.ts'
import { parseBody } from '../json.ts'
import { Refusal } from '../refusals.ts'
import { Room } from './body/room.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What a setting allows, for the routes that need to know. */
    limits: { bulkBytes: number; total: number }
  }
}

/** At most this many bytes of `metadata`, `kwargs` and `headers`, each. */
const MOST_DATA_BYTES = 64 * 1024

/** Bodies to this size are not counted: the sockets that bring them bound them. */
const SMALL_BYTES = 16 * 1024

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Bodies: strict JSON of bounded size and depth, not too much of it at once, with callers' own JSON kept as text. */
export const body = plugin<{ config: Config }>(
  async (app, { config }) => {
    const limits = {
      result: config.ROLLCALL_RESULT_LIMIT_BYTES,
      error: config.ROLLCALL_ERROR_LIMIT_BYTES,
      metadata: MOST_DATA_BYTES,
      kwargs: MOST_DATA_BYTES,
      headers: MOST_DATA_BYTES,
    }

    app.decorate('limits', {
      bulkBytes: config.ROLLCALL_BULK_BODY_LIMIT_BYTES,
      total: config.ROLLCALL_TOTAL_LIMIT,
    })
    const room = new Room(
      Math.max(
        config.ROLLCALL_BODIES_LIMIT_BYTES,
        config.ROLLCALL_BODY_LIMIT_BYTES,
        config.ROLLCALL_BULK_BODY_LIMIT_BYTES,
      ),
      config.ROLLCALL_POOL_WAIT_SECONDS * 1000,
    )
    // A body takes its room before it is read, and until it is answered: parsed it is several times as large.
    app.addHook('onRequest', (request, reply, next) => {
      if (isSmall(request.headers)) return next()
      const enter = (leave: () => void) => {
        if (reply.raw.destroyed) leave()
        reply.raw.once('finish', leave).once('close', leave)
        next()
      }
      room.take(bytesOf(request), enter, next)
    })
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, bytes, done) => {
      try {
        done(
          null,
          bytes.length === 0
            ? undefined
            : parseBody(textOf(bytes as Buffer), config.ROLLCALL_JSON_DEPTH_LIMIT, limits),
        )
      } catch (error) {
        done(error as FastifyError)
      }
    })
  },
  { name: 'body' },
)

function isSmall(headers: IncomingHttpHeaders): boolean {
  const length = headers['content-length']
  return length === undefined
    ? headers['transfer-encoding'] === undefined
    : Number(length) <= SMALL_BYTES
}

/** What the headers announce, as far as it may be read; of a body of unknown length all that it may be. */
function bytesOf({ headers, routeOptions }: FastifyRequest): number {
  return Math.min(Number(headers['content-length'] ?? Infinity), routeOptions.bodyLimit)
}

function textOf(bytes: Buffer): string {
  try {
    return utf8.decode(bytes)
  } catch {
    const message = 'The body has to be UTF-8.'
    throw new Refusal('invalid_request', { detail: message, errors: [{ path: '', message }] })
  }
}
