import type { FastifyError, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import type { Config } from '../config.ts'
import { parseBody } from '../json.ts'
import { Refusal } from '../refusals.ts'
import { type Keep, Room } from './body/room.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What a setting allows, for the routes that need to know. */
    limits: { bulkBytes: number; total: number }
  }
  interface FastifyRequest {
    /** Of a body that takes room. */
    keepRoom: Keep | null
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
    app.decorateRequest('keepRoom', null)
    app.addHook('preParsing', (request, _reply, payload, next) => {
      if (isSmall(request)) return next(null, payload)
      const enter = (keep: Keep) => {
        request.keepRoom = keep
        // Who hung up while he waited sends no more.
        if (request.raw.destroyed) next(new Refusal('request_timeout'))
        else next(null, payload)
      }
      room.take(bytesOf(request), enter, next)
    })
    // Also for who hung up: what he sent is in memory until then.
    app.addHook('onSend', (request, _reply, payload, next) => {
      request.keepRoom?.(0)
      next(null, payload)
    })
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes, done) => {
      request.keepRoom?.(bytes.length > SMALL_BYTES ? bytes.length : 0)
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

/** Fastify reads no body of a GET. */
function isSmall({ method, headers }: FastifyRequest): boolean {
  if (method === 'GET' || method === 'HEAD') return true
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
