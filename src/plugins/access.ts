import type { FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { isIPv4, isIPv6 } from 'node:net'
import type { Config } from '../config.ts'
import { Refusal } from '../refusals.ts'
import { isLoopback } from '../webhook/guard.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** It changes nothing and tells no more than that the service runs, so it answers under any Host. */
    isProbe?: boolean
  }
}

/**
 * Nobody has to show a key, and a browser reaches whatever its machine reaches. So the pages of other sites are kept out by
 * what browsers say of them and scripts cannot change: `Sec-Fetch-Site`, `Origin` and `Host`. A client that is no browser
 * sends none of the first two.
 *
 * After `readiness`, which counts every request that it saw.
 */
export const access = plugin<{ config: Config }>(
  async (app, { config }) => {
    const wrongWithHost = hostRule(config)
    const publicOrigin = config.ROLLCALL_PUBLIC_URL && new URL(config.ROLLCALL_PUBLIC_URL).origin

    app.addHook('onRequest', (request, _reply, next) => {
      const detail = wrongWithHost(request) ?? wrongWithSite(request, publicOrigin)
      if (detail === undefined || request.routeOptions.config.isProbe) next()
      else next(new Refusal('forbidden', { detail }))
    })
  },
  { name: 'access', dependencies: ['readiness'] },
)

const OTHER_SITE = 'A browser sent this for a page of another site; only pages of this service may.'

/** `Sec-Fetch-Site` decides where there is one, because a proxy may have changed the Host that `Origin` is compared with. */
function wrongWithSite({ headers, method, url }: FastifyRequest, publicOrigin?: string) {
  const site = headers['sec-fetch-site']
  if (site !== undefined) {
    if (site === 'same-origin' || site === 'none') return undefined
    const isLink =
      headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
    // A page that is opened for a person is not shown to the page with the link.
    if (isLink && method === 'GET' && /^\/docs(?![^/?])/.test(url)) return undefined
    return OTHER_SITE
  }
  const { origin, host } = headers
  if (origin === undefined || origin === publicOrigin) return undefined
  return origin === `http://${host}` || origin === `https://${host}` ? undefined : OTHER_SITE
}

/**
 * A page whose own name was made to resolve to this machine is no other site for its browser, and its Host betrays it. An
 * address cannot be made to resolve. A service that others reach by name, and has no list of names, takes every Host.
 */
function hostRule(config: Config): (request: FastifyRequest) => string | undefined {
  const { HOST, ROLLCALL_HOSTS: given, ROLLCALL_PUBLIC_URL: url } = config
  if (!isLoopback(HOST) && given.length === 0) return () => undefined
  const names = new Set(
    ['localhost', ...given, ...(url ? [new URL(url).hostname] : [])].map(canonical),
  )
  const isKnown = (host: string) => isAddress(host) || names.has(canonical(host))
  // Most requests bear the same Host as the one before.
  let lastKnown: string | undefined

  return ({ headers: { host }, url: target }) => {
    const authority = target.startsWith('/') ? undefined : /^[^:/]*:\/\/([^/?#]*)/.exec(target)?.[1]
    if (authority !== undefined && !isKnown(authority)) return unknownHost(authority)
    if (host === lastKnown || host === undefined) return undefined
    if (!isKnown(host)) return unknownHost(host)
    lastKnown = host
    return undefined
  }
}

function unknownHost(host: string): string {
  return `The Host ${host.slice(0, 255)} is not a name of this service: use an address or localhost, or list the name in ROLLCALL_HOSTS.`
}

function isAddress(host: string): boolean {
  const bare = withoutPort(host)
  return isIPv4(bare) || (/^\[.*\]$/.test(bare) && isIPv6(bare.slice(1, -1)))
}

/** Names differ neither by case nor by the dot that may end them. */
function canonical(host: string): string {
  return withoutPort(host).replace(/\.$/, '').toLowerCase()
}

function withoutPort(host: string): string {
  return host.replace(/:\d*$/, '')
}
