import Fastify, { type FastifyInstance, LogController } from 'fastify'
import type { Config } from './config.ts'
import { refuse } from './plugins/errors.ts'
import { refuseConnection } from './plugins/sockets/refuse.ts'
import type { Sockets } from './plugins/sockets/sockets.ts'
import { loggerOptions } from './server/logging.ts'
import { parseQuery } from './server/query.ts'

/** An execution id of 255 bytes has 765 characters when each byte is escaped. */
export const MOST_PARAMETER_CHARACTERS = 1024

/** Makes Fastify with its log, its limits, and its rules for reading requests and refusing other bytes. */
export function makeServer(config: Config, own: Sockets): FastifyInstance {
  return Fastify({
    logger: loggerOptions(config),
    // A line for each request would cost more than most requests. Failures are logged where they are refused.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: config.ROLLCALL_BODY_LIMIT_BYTES,
    // Closing waits for callbacks on their way and for a statement in flight, which may exceed avvio's ten seconds.
    pluginTimeout:
      (config.ROLLCALL_SHUTDOWN_SECONDS + config.ROLLCALL_STATEMENT_TIMEOUT_SECONDS + 30) * 1000,
    serverFactory: handle => own.serverFor(handle),
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    routerOptions: { maxParamLength: MOST_PARAMETER_CHARACTERS, querystringParser: parseQuery },
    frameworkErrors: refuse,
    clientErrorHandler: (error, socket) => refuseConnection(own, error, socket),
  })
}
