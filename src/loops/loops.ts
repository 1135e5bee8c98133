import plugin from 'fastify-plugin'
import type { Config } from '../config.ts'
import { Sender } from '../webhook/post.ts'
import { Delivery } from './delivery/delivery.ts'
import { Reaper } from './reaper/reaper.ts'

declare module 'fastify' {
  interface FastifyInstance {
    reaper: Reaper
  }
}

/** What runs by itself, in every replica. It begins when the replica listens; without a port, as in tests, it does what it is told. */
export const loops = plugin<{ config: Config }>(
  async (app, { config }) => {
    const secrets = config.ROLLCALL_WEBHOOK_SECRET
    const reaper = new Reaper(app, config)
    const delivery = new Delivery(app, {
      sender: new Sender({ guard: app.guard, secrets }),
      shutdownSeconds: config.ROLLCALL_SHUTDOWN_SECONDS,
    })
    app.decorate('reaper', reaper)
    app.addHook('onListen', async () => {
      reaper.start()
      if (secrets.length > 0) delivery.start()
      else
        app.log.warn(
          'ROLLCALL_WEBHOOK_SECRET is not set: callbacks to URLs are refused, and those that are due wait.',
        )
    })
    // Before the pool ends, which a step may be using.
    app.addHook('preClose', async () => {
      await Promise.all([reaper.stop(), delivery.stop()])
    })
  },
  { name: 'loops', dependencies: ['database', 'callbacks'] },
)
