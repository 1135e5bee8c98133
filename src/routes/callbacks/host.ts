import { isIP } from 'node:net'

/** Host and port of a URL in one spelling, so that receivers are told apart and take turns. */
export function hostOf(url: string): string {
  const { hostname, port } = new URL(url)
  return `${hostname.replace(/\.$/, '')}${port && `:${port}`}`
}

/** Whether the host is an address or a possible name: labels of 1 to 63 characters, 253 in all, with at most one dot at the end. */
export function hasHost(url: string): boolean {
  const { hostname } = new URL(url)
  if (isIP(hostname.replace(/^\[(.*)\]$/, '$1'))) return true
  const name = hostname.replace(/\.$/, '')
  return name.length <= 253 && /^[\w-]{1,63}(\.[\w-]{1,63})*$/.test(name)
}
