import plugin from 'fastify-plugin'
import type { ClientConfig } from 'pg'
import type { Config } from '../config.ts'
import { mostAttempts } from '../descriptors.ts'
import { Sender } from '../webhook/post.ts'
import { Ends } from '../waits/ends.ts'
import { Delivery } from './delivery/delivery.ts'
import { Queues } from '../waits/queues.ts'
import { Reaper } from './reaper/reaper.ts'

declare module 'fastify' {
  interface FastifyInstance {
    ends: Ends
    queues: Queues
    reaper: Reaper
  }
}

export interface LoopsOptions {
  config: Config
  connection: ClientConfig
}

/**
 * The work that runs by itself, in every replica. Callers may wait for ends and callbacks once the app is ready. Reaper and
 * delivery begin when the replica listens; without a port, as in tests, only their methods run them.
 */
export const loops = plugin<LoopsOptions>(
  async (app, { config, connection }) => {
    const secrets = config.ROLLCALL_WEBHOOK_SECRET
    const ends = new Ends(app.database, connection, app.log)
    const queues = new Queues(app.database, ends, app.log)
    app.decorate('ends', ends)
    app.decorate('queues', queues)
    const reaper = new Reaper(app, config)
    const delivery = new Delivery(app, {
      sender: new Sender({ guard: app.guard, secrets }),
      most: mostAttempts(config),
      shutdownSeconds: config.ROLLCALL_SHUTDOWN_SECONDS,
    })
    app.decorate('reaper', reaper)
    app.addHook('onReady', async () => {
      ends.start()
      queues.start()
    })
    app.addHook('onListen', async () => {
      reaper.start()
      if (secrets.length > 0) delivery.start()
      else
        app.log.warn(
          'ROLLCALL_WEBHOOK_SECRET is not set: callbacks to URLs are refused, and those that are due wait.',
        )
    })
    // All at once, so that none goes on while another one stops; and before the pool ends, which their last step may use.
    app.addHook('preClose', async () => {
      await Promise.all([ends.drain(), queues.drain(), reaper.stop(), delivery.stop()])
    })
  },
  { name: 'loops', dependencies: ['database', 'callbacks'] },
)
