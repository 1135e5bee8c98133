import type { FastifyInstance, HTTPMethods } from 'fastify'
import { Refusal } from '../refusals.ts'

const METHODS: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** Collects which methods each path has; to be called before any route is added. */
export function collectMethods(app: FastifyInstance): Map<string, Set<string>> {
  const methodsOf = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const methods = methodsOf.get(url) ?? new Set()
    for (const one of [method].flat()) methods.add(one)
    methodsOf.set(url, methods)
  })
  return methodsOf
}

/** Answers every other method of a known path with 405 and Allow; Fastify's own answer would be 404. */
export function refuseOtherMethods(
  app: FastifyInstance,
  methodsOf: Map<string, Set<string>>,
): void {
  for (const [url, methods] of methodsOf) {
    const allow = [...methods].toSorted().join(', ')
    app.route({
      method: METHODS.filter(method => !methods.has(method)),
      url,
      schema: { hide: true },
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
