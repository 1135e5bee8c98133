import type { FastifyInstance } from 'fastify'
import type pg from 'pg'
import type { Config } from './config.ts'
import { mostSockets } from './descriptors.ts'
import { loops } from './loops/loops.ts'
import { access } from './plugins/access.ts'
import { body } from './plugins/body.ts'
import { callbacks } from './webhook/policy.ts'
import { database } from './plugins/database.ts'
import { drain } from './plugins/drain.ts'
import { errors } from './plugins/errors.ts'
import { collectPaths, refuseOtherMethods } from './server/methods.ts'
import { openapi } from './plugins/openapi.ts'
import { framing } from './plugins/framing.ts'
import { readiness } from './plugins/readiness.ts'
import { Sockets } from './plugins/sockets/sockets.ts'
import { sockets } from './plugins/sockets.ts'
import { validation } from './plugins/validation.ts'
import { routes } from './routes/index.ts'
import { makeServer } from './server.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** It comes from the caller's credential, never from the path. Until there are keys every caller has ''. */
    namespace: string
  }
}

/** The whole service except its port: the plugins in their order, then the routes. */
export async function buildApp(
  config: Config,
  connection: pg.ClientConfig,
): Promise<FastifyInstance> {
  const own = new Sockets(mostSockets(config))
  const app = makeServer(config, own)
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
  await app.register(drain)
  await app.register(readiness, { config })
  await app.register(access, { config })
  await app.register(openapi)
  await app.register(routes)
  refuseOtherMethods(app, paths)
  return app
}
