import type { FastifyReply } from 'fastify'
import plugin from 'fastify-plugin'
import type { Socket } from 'node:net'
import { loop } from '../loop.ts'
import { Refusal } from '../refusals.ts'
import { refuseTunnel } from './sockets/refuse.ts'
import type { Sockets } from './sockets/sockets.ts'

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Runs `work` once, when this reply is over: its caller has taken it or is gone. Runs it at once if the reply is already
     * over.
     */
    onGone: (work: () => void) => void
  }
}

/** Smaller replies fit into the kernel's buffer of a socket, so time alone bounds them. */
const SMALL_BYTES = 16 * 1024

/** For all routes, bounds the replies that callers leave unread and ends requests whose callers are gone. */
export const sockets = plugin<{ own: Sockets }>(
  async (app, { own }) => {
    app.decorateReply('onGone', function onGone(this: FastifyReply, work: () => void) {
      if (this.raw.destroyed) work()
      else this.raw.once('close', work)
    })
    // A caller that is gone is not served. On a socket that was cut this ends the sixteen requests that came before the cut.
    // The refusal has no reader, but the hooks of its reply free the things that the request holds, such as room for its body.
    // Neither is a request that was already refused by hand as too late, but whose rest came after all.
    app.addHook('preHandler', (request, reply, next) => {
      if (reply.raw.destroyed || request.raw.socket.writableEnded)
        next(new Refusal('request_timeout'))
      else next()
    })
    app.addHook('onSend', (_request, reply, payload, next) => {
      const { raw } = reply
      if (typeof payload === 'string' && payload.length >= SMALL_BYTES)
        // Bytes are held once and outside the heap until the caller has them.
        payload = Buffer.from(payload)
      if (Buffer.isBuffer(payload)) own.sent(raw, payload.length)
      // A reply behind another one waits here: Node would take it, stop reading from the socket, and not see its caller leave.
      if (raw.socket === null && !raw.destroyed) raw.once('socket', () => next(null, payload))
      else next(null, payload)
    })
    app.server.on('connect', (_request, socket) => refuseTunnel(own, socket as Socket))
    const closed = new AbortController()
    app.addHook('onListen', async () => {
      void loop(async () => own.lookOnce(), { restMs: 1_000, signal: closed.signal })
    })
    app.addHook('preClose', async () => own.hurry())
    app.addHook('onClose', async () => closed.abort())
  },
  { name: 'sockets' },
)
