import type { FastifyError, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import type { IncomingMessage } from 'node:http'
import { setImmediate as othersTurn } from 'node:timers/promises'
import type { Config } from '../config.ts'
import { notWhole } from '../json/faults.ts'
import { type Read, readBody, readInPieces } from '../json/read.ts'
import type { Rules } from '../json/rules.ts'
import { Refusal } from '../refusals.ts'
import { ByteBudget, LARGE_BYTES } from './body/byte-budget.ts'
import { Desk, type Leave } from './body/desk.ts'
import { refusedMediaType } from './body/media-type.ts'
import { SMALL_BYTES, Upload } from './body/upload.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The bounds from the settings that some routes need. */
    limits: { bulkBytes: number; total: number }
  }
  interface FastifyRequest {
    /** The refusal of its body's type; it applies once the first byte of a body comes. */
    refusedMediaType: Refusal | null
    /** Gives back the bytes that its body holds, and its turn. */
    releaseBody: Leave | null
    /** The reply to a request with a body; it shows when the caller is gone. */
    reply: FastifyReply | null
  }
}

/** At most this many bytes of `metadata`, `kwargs` and `headers`, each. */
export const MOST_DATA_BYTES = 64 * 1024

type Done = (error: FastifyError | Refusal | null, body?: unknown) => void

/** Reads bodies as strict JSON of bounded size and depth, bounds their sum, and keeps callers' own JSON as it was sent. */
export const body = plugin<{ config: Config }>(
  async (app, { config }) => {
    app.decorate('limits', {
      bulkBytes: config.ROLLCALL_BULK_BODY_LIMIT_BYTES,
      total: config.ROLLCALL_TOTAL_LIMIT,
    })
    app.decorateRequest('refusedMediaType', null)
    app.decorateRequest('releaseBody', null)
    app.decorateRequest('reply', null)
    const reader = new Reader(config)
    // Fastify would judge the type of an empty body too. So it sees one type only, and the real one is judged once bytes come.
    app.addHook('preParsing', (request, reply, payload, next) => {
      const { headers, method } = request
      if (method === 'GET' || method === 'HEAD') return next(null, payload)
      if (hasBody(request.raw)) {
        request.refusedMediaType = refusedMediaType(request.raw) ?? null
        request.reply = reply
        headers['content-type'] = 'application/json'
      } else if (headers['content-type'] !== undefined) {
        delete headers['content-type']
      }
      next(null, payload)
    })
    // A caller that hung up still occupies its bytes until here.
    app.addHook('onSend', (request, _reply, payload, next) => {
      request.releaseBody?.()
      next(null, payload)
    })
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('application/json', (request, _payload, done) =>
      reader.read(request, done as Done),
    )
  },
  { name: 'body' },
)

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length']
  return length === undefined ? headers['transfer-encoding'] !== undefined : Number(length) > 0
}

/** Reads small bodies at once, larger ones within a budget of bytes, and the largest one after the other. */
class Reader {
  readonly #rules: Rules
  readonly #budget: ByteBudget
  readonly #desk: Desk
  readonly #waitMs: number

  constructor(config: Config) {
    this.#rules = {
      depth: config.ROLLCALL_JSON_DEPTH_LIMIT,
      raw: new Map([
        ['result', config.ROLLCALL_RESULT_LIMIT_BYTES],
        ['error', config.ROLLCALL_ERROR_LIMIT_BYTES],
        ['metadata', MOST_DATA_BYTES],
        ['kwargs', MOST_DATA_BYTES],
        ['headers', MOST_DATA_BYTES],
      ]),
    }
    const largest = Math.max(
      config.ROLLCALL_BODY_LIMIT_BYTES,
      config.ROLLCALL_BULK_BODY_LIMIT_BYTES,
    )
    this.#waitMs = config.ROLLCALL_POOL_WAIT_SECONDS * 1000
    this.#budget = new ByteBudget(Math.max(config.ROLLCALL_BODIES_LIMIT_BYTES, largest))
    this.#desk = new Desk(largest, this.#waitMs)
  }

  read(request: FastifyRequest, done: Done): void {
    const announcedBytes = Number(request.headers['content-length'])
    const { raw, refusedMediaType: refusal } = request
    if (refusal && announcedBytes > 0) return done(refusal)
    if (announcedBytes <= SMALL_BYTES) {
      gather(raw, announcedBytes, (error, bytes) => {
        if (error) done(error)
        else this.#readSmall(bytes, done)
      })
      return
    }
    const mostBytes = request.routeOptions.bodyLimit
    if (announcedBytes > mostBytes) return done(new Refusal('payload_too_large'))
    const terms = { budget: this.#budget, refusal, announcedBytes, mostBytes, waitMs: this.#waitMs }
    const upload = new Upload(raw, terms, (error, bytes) => {
      if (error) return done(error)
      request.releaseBody = () => upload.release()
      if (bytes.length <= SMALL_BYTES) this.#readSmall(bytes, done)
      else if (bytes.length <= LARGE_BYTES) void this.#readLarge(request, bytes, done)
      else this.#queue(request, bytes, done)
    })
  }

  #readSmall(bytes: Buffer, done: Done): void {
    if (bytes.length === 0) return done(null)
    let read: Record<string, unknown>
    try {
      read = readBody(bytes, this.#rules).body
    } catch (error) {
      return done(error as Refusal)
    }
    done(null, read)
  }

  #queue(request: FastifyRequest, bytes: Buffer, done: Done): void {
    const { releaseBody } = request
    const enter = (leave: Leave) => {
      request.releaseBody = () => {
        releaseBody?.()
        leave()
      }
      void this.#readLarge(request, bytes, done)
    }
    request.reply?.onGone(this.#desk.take(bytes.length, enter, done))
  }

  async #readLarge(request: FastifyRequest, bytes: Buffer, done: Done): Promise<void> {
    let read: Read
    const turn = async () => {
      await othersTurn()
      if (request.reply?.raw.destroyed) throw notWhole()
    }
    try {
      read = await readInPieces(bytes, this.#rules, turn)
    } catch (error) {
      return done(error as Refusal)
    }
    // These bytes are not needed any more, and such a call may wait for long.
    if (!read.hasRaw) request.releaseBody?.()
    done(null, read.body)
  }
}

/** Collects a small body. It copies the bytes, because the reader moves them. */
function gather(
  source: IncomingMessage,
  announcedBytes: number,
  done: (error: Refusal | null, bytes: Buffer) => void,
): void {
  const bytes = Buffer.allocUnsafe(announcedBytes)
  let arrived = 0
  source.on('data', (chunk: Buffer) => {
    arrived += chunk.copy(bytes, arrived)
  })
  source.once('end', () => done(null, bytes.subarray(0, arrived)))
  source.once('error', () => done(notWhole(), bytes))
}
