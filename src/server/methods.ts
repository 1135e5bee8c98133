import type { FastifyInstance } from 'fastify'
import http from 'node:http'
import { Refusal } from '../refusals.ts'

/** All that Node parses but CONNECT, for which it calls no route. */
const METHODS = http.METHODS.filter(method => method !== 'CONNECT')

/** Collects the paths of all routes; to be called before any route is added. */
export function collectPaths(app: FastifyInstance): Set<string> {
  const paths = new Set<string>()
  app.addHook('onRoute', ({ url }) => void paths.add(url))
  return paths
}

/** Answers every other method of a known path with 405 and Allow; Fastify's own answer would be 404. */
export function refuseOtherMethods(app: FastifyInstance, paths: Set<string>): void {
  // Of those that Fastify does not know it assumes that they have no body.
  for (const method of METHODS)
    if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
  for (const url of paths) {
    const allowed = METHODS.filter(method => app.hasRoute({ method, url }))
    const allow = allowed.join(', ')
    app.route({
      method: METHODS.filter(method => !allowed.includes(method)),
      url,
      // Before the body is read: it does not matter what is in it.
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
