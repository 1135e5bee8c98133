import Fastify, { type FastifyInstance, LogController } from 'fastify'
import type pg from 'pg'
import type { Config } from './config.ts'
import { mostSockets } from './descriptors.ts'
import { loops } from './loops/loops.ts'
import { access } from './plugins/access.ts'
import { body } from './plugins/body.ts'
import { callbacks } from './webhook/policy.ts'
import { database } from './plugins/database.ts'
import { parseQuery } from './server/query.ts'
import { errors, refuse } from './plugins/errors.ts'
import { collectPaths, refuseOtherMethods } from './server/methods.ts'
import { openapi } from './plugins/openapi.ts'
import { framing } from './plugins/framing.ts'
import { readiness } from './plugins/readiness.ts'
import { refuseConnection } from './plugins/sockets/refuse.ts'
import { Sockets } from './plugins/sockets/sockets.ts'
import { sockets } from './plugins/sockets.ts'
import { validation } from './plugins/validation.ts'
import { loggerOptions } from './server/logging.ts'
import { routes } from './routes/index.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Taken from the caller's credential, never from the path; until there are keys everybody is in ''. */
    namespace: string
  }
}

/** An execution id of 255 bytes, each of them escaped, has 765. */
export const MOST_PARAMETER_CHARACTERS = 1024

/** The whole service but its port: plugins in order, then routes. */
export async function buildApp(
  config: Config,
  connection: pg.ClientConfig,
): Promise<FastifyInstance> {
  const own = new Sockets(mostSockets(config))
  const app = Fastify({
    logger: loggerOptions(config),
    // A line for each request would cost more than most requests; what fails is logged where it is refused.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: config.ROLLCALL_BODY_LIMIT_BYTES,
    // Closing waits for callbacks on their way and for a statement in flight, which is longer than the ten seconds of avvio.
    pluginTimeout:
      (config.ROLLCALL_SHUTDOWN_SECONDS + config.ROLLCALL_STATEMENT_TIMEOUT_SECONDS + 30) * 1000,
    serverFactory: handle => own.serverFor(handle),
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    routerOptions: { maxParamLength: MOST_PARAMETER_CHARACTERS, querystringParser: parseQuery },
    frameworkErrors: refuse,
    clientErrorHandler: (error, socket) => refuseConnection(own, error, socket),
  })
  const paths = collectPaths(app)
  app.decorateRequest('namespace', '')

  await app.register(errors)
  await app.register(framing)
  await app.register(validation)
  await app.register(body, { config })
  await app.register(sockets, { own })
  await app.register(database, { config, connection })
  await app.register(callbacks, { config })
  await app.register(loops, { config, connection })
  await app.register(readiness, { config })
  await app.register(access, { config })
  await app.register(openapi)
  await app.register(routes)
  refuseOtherMethods(app, paths)
  return app
}
