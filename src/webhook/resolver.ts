import { type LookupAddress } from 'node:dns'
import { lookup as bySystem, Resolver as DnsClient } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { isLocalhost } from './addresses.ts'

/** All addresses of a name. Rejects when it has none, and when no name server answers. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>

interface Options {
  /** Whether the system is asked about a name that DNS does not know; it looks in search domains too. */
  isKnownHere: (hostname: string) => boolean
  /** Addresses of name servers with their ports; by default those of the system. */
  servers?: readonly string[]
  hostsFile?: string
  /** A name whose name servers are silent this long has no address. Shorter than a connection may take. */
  deadline_ms?: number
}

/** A query that got lost is sent again after this, and after twice as long. */
const QUERY_MS = 1_000
const DEADLINE_MS = 3_000

/**
 * Resolves by /etc/hosts and then by DNS over c-ares, whose queries hold no thread and end with the deadline. `dns.lookup`
 * asks getaddrinfo instead: libuv gives it two threads, so two names with silent name servers would keep every other host
 * waiting until the system gives up, whatever the time-out of a connection.
 */
export function resolver({
  isKnownHere,
  servers,
  hostsFile = '/etc/hosts',
  deadline_ms = DEADLINE_MS,
}: Options): Resolve {
  return async hostname => {
    if (isLocalhost(hostname)) return ['127.0.0.1', '::1'].map(ofAddress)
    const listed = await addressesIn(hostsFile, hostname)
    if (listed.length > 0) return listed

    const dns = new DnsClient({ timeout: QUERY_MS, tries: 3 })
    if (servers) dns.setServers(servers)
    const timer = setTimeout(() => dns.cancel(), deadline_ms)
    const answers = await Promise.allSettled([dns.resolve4(hostname), dns.resolve6(hostname)])
    clearTimeout(timer)
    const addresses = answers.flatMap(answer => (answer.status === 'fulfilled' ? answer.value : []))
    if (addresses.length > 0) return addresses.map(ofAddress)
    const failures = answers.flatMap(answer =>
      answer.status === 'rejected' ? [answer.reason as unknown] : [],
    )
    // Only a name that the operator trusts may hold a thread, and only when no name server is silent.
    const isForSystem = isKnownHere(hostname) && !failures.some(isSilence)
    if (isForSystem) return bySystem(hostname, { all: true })
    throw failures[0]
  }
}

function isSilence(failure: unknown): boolean {
  const code = failure instanceof Error && 'code' in failure ? failure.code : undefined
  return code === 'ECANCELLED' || code === 'ETIMEOUT'
}

/** As in hosts(5): an address and its names in each line, before a `#`. Without such a file DNS alone decides. */
async function addressesIn(file: string, hostname: string): Promise<LookupAddress[]> {
  const wanted = hostname.toLowerCase().replace(/\.$/, '')
  const text = await readFile(file, 'utf8').catch(() => '')
  return text
    .split('\n')
    .map(line => line.replace(/#.*/, '').trim().toLowerCase().split(/\s+/))
    .filter(([address = '', ...names]) => isIP(address) !== 0 && names.includes(wanted))
    .map(([address = '']) => ofAddress(address))
}

function ofAddress(address: string): LookupAddress {
  return { address, family: isIP(address) }
}
