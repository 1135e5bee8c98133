import type { FastifyInstance } from 'fastify'
import http from 'node:http'
import { Refusal } from '../refusals.ts'

/** All methods that Node parses, except CONNECT, which reaches no route. */
const METHODS = http.METHODS.filter(method => method !== 'CONNECT')

/** Collects the paths of all routes. Call it before any route is added. */
export function collectPaths(app: FastifyInstance): Set<string> {
  const paths = new Set<string>()
  app.addHook('onRoute', ({ url }) => void paths.add(url))
  return paths
}

/** Answers every other method of a known path with 405 and Allow; Fastify's own answer would be 404. */
export function refuseOtherMethods(app: FastifyInstance, paths: Set<string>): void {
  // Fastify must know each method; it expects no body with those added here.
  for (const method of METHODS)
    if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
  for (const url of paths) {
    const allowed = METHODS.filter(method => app.hasRoute({ method, url }))
    const allow = allowed.join(', ')
    app.route({
      method: METHODS.filter(method => !allowed.includes(method)),
      url,
      // This comes before the body is read, because no body could make the method right.
      onRequest: async request => {
        throw new Refusal(
          'method_not_allowed',
          { detail: `${request.method} is not allowed here; ${allow} is.` },
          { headers: { allow } },
        )
      },
      handler: () => undefined,
    })
  }
}
