import type { FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { isIPv4, isIPv6 } from 'node:net'
import type { Config } from '../config.ts'
import { Refusal } from '../refusals.ts'
import { isLoopback } from '../webhook/guard.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A probe changes nothing and shows only whether the service runs, so it answers under any Host. */
    isProbe?: boolean
  }
}

/**
 * No call needs a key, and a browser reaches every address that its machine reaches. So pages of other sites are kept out by
 * headers that browsers set and scripts cannot change: `Sec-Fetch-Site`, `Origin` and `Host`. A client that is not a browser
 * sends neither of the first two.
 *
 * This comes after `drain`, which counts every request that it saw.
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
  { name: 'access', dependencies: ['drain'] },
)

const OTHER_SITE = 'A browser sent this for a page of another site; only pages of this service may.'

/** If `Sec-Fetch-Site` is there, it decides: a proxy may have changed the Host that `Origin` is compared with. */
function wrongWithSite({ headers, method, url }: FastifyRequest, publicOrigin?: string) {
  const site = headers['sec-fetch-site']
  if (site !== undefined) {
    if (site === 'same-origin' || site === 'none') return undefined
    const isLink =
      headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
    // A link opens the page for a person; the page with the link cannot read it.
    if (isLink && method === 'GET' && /^\/docs(?![^/?])/.test(url)) return undefined
    return OTHER_SITE
  }
  const { origin, host } = headers
  if (origin === undefined || origin === publicOrigin) return undefined
  return origin === `http://${host}` || origin === `https://${host}` ? undefined : OTHER_SITE
}

/**
 * An attacker can make the name of their page resolve to this machine. The browser then takes the two for one site, but the
 * Host still shows the attacker's name. An address cannot be misused so. A service that listens for other machines and has no
 * list of names takes every Host.
 */
function hostRule(config: Config): (request: FastifyRequest) => string | undefined {
  const { HOST, ROLLCALL_HOSTS: given, ROLLCALL_PUBLIC_URL: url } = config
  if (!isLoopback(HOST) && given.length === 0) return () => undefined
  const names = new Set(
    ['localhost', ...given, ...(url ? [new URL(url).hostname] : [])].map(canonical),
  )
  const isKnown = (host: string) => isAddress(host) || names.has(canonical(host))
  // Most requests have the same Host as the one before.
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

/** Neither case nor a dot at the end makes a name another one. */
function canonical(host: string): string {
  return withoutPort(host).replace(/\.$/, '').toLowerCase()
}

function withoutPort(host: string): string {
  return host.replace(/:\d*$/, '')
}
