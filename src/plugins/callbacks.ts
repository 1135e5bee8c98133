import plugin from 'fastify-plugin'
import { BlockList, isIP } from 'node:net'
import type { Config } from '../config.ts'
import { Refusal } from '../refusals.ts'
import { Guard } from '../webhook/guard.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Which URLs callbacks may reach. */
    guard: Guard
    /** What the message of a callback is made with, as the statements that build it take it. */
    message: { inline_bytes: number; public_url: string }
    /** Throws 422 for a URL that no attempt could call. */
    mustBeCallable: (url: string) => void
  }
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** What callbacks may reach, and what they carry. */
export const callbacks = plugin<{ config: Config }>(
  async (app, { config }) => {
    const guard = new Guard({
      allow: config.ROLLCALL_CALLBACK_ALLOW,
      loopback: isLoopback(config.HOST),
    })
    const isSigned = config.ROLLCALL_WEBHOOK_SECRET.length > 0

    app.decorate('guard', guard)
    app.decorate('message', {
      inline_bytes: config.ROLLCALL_INLINE_RESULTS_BYTES,
      public_url: config.ROLLCALL_PUBLIC_URL ?? '',
    })
    app.decorate('mustBeCallable', (url: string) => {
      const detail = isSigned
        ? guard.refusalOf(url)
        : 'Callbacks to URLs are signed, and ROLLCALL_WEBHOOK_SECRET is not set: set it, or name a queue.'
      if (detail !== undefined) throw new Refusal('callback_url_refused', { detail })
    })
  },
  { name: 'callbacks' },
)

function isLoopback(host: string): boolean {
  if (host === 'localhost') return true
  const family = isIP(host)
  return family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4')
}
