import type { FastifyInstance } from 'fastify'
import type { Config } from '../config.ts'
import { Sender } from '../webhook/post.ts'
import { Delivery } from './delivery/delivery.ts'

/** What runs by itself in every replica, from the moment the app is ready until it closes. To be called before it listens. */
export function startLoops(app: FastifyInstance, config: Config): void {
  const secrets = config.ROLLCALL_WEBHOOK_SECRET
  const delivery = new Delivery(app, {
    sender: new Sender({ guard: app.guard, secrets }),
    shutdownSeconds: config.ROLLCALL_SHUTDOWN_SECONDS,
  })
  app.addHook('onReady', async () => {
    if (secrets.length > 0) delivery.start()
    else
      app.log.warn(
        'ROLLCALL_WEBHOOK_SECRET is not set, so callbacks to URLs are neither taken nor sent.',
      )
  })
  app.addHook('preClose', () => delivery.stop())
}
