import plugin from 'fastify-plugin'
import type { Config } from '../config.ts'
import { Refusal } from '../refusals.ts'
import { Guard, isLoopback } from './guard.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Which URLs callbacks may reach. */
    guard: Guard
    /** The settings of a callback's message, in the form of the statements that build it. */
    message: { inline_bytes: number; public_url: string }
    /** Throws 422 for a URL that no attempt could call. */
    mustBeCallable: (url: string) => void
  }
}

/** The receivers that callbacks may reach, and the settings of their messages. */
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
