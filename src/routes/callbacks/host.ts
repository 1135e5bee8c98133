import { isIP } from 'node:net'

/** Host and port of a URL, however it is spelled: each has a few slots of its own. */
export function hostOf(url: string): string {
  const { hostname, port } = new URL(url)
  return `${hostname.replace(/\.$/, '')}${port && `:${port}`}`
}

/** An address, or labels of 1 to 63 characters that a name server could be asked for, 253 together; one dot may end it. */
export function hasHost(url: string): boolean {
  const { hostname } = new URL(url)
  if (isIP(hostname.replace(/^\[(.*)\]$/, '$1'))) return true
  const name = hostname.replace(/\.$/, '')
  return name.length <= 253 && /^[\w-]{1,63}(\.[\w-]{1,63})*$/.test(name)
}
