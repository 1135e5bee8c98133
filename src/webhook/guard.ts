import type { LookupAddress } from 'node:dns'
import { type BlockList, isIP, type LookupFunction } from 'node:net'
import { domainToASCII } from 'node:url'
import { callbackify } from 'node:util'
import { holds, isLocalhost, isPublic, rangesOf } from './addresses.ts'
import { type Resolve, resolver } from './resolver.ts'
import { Unreached } from './unreached.ts'

type Addresses = [LookupAddress, ...LookupAddress[]]
type Protocol = 'http:' | 'https:'

interface Rules {
  /** From ROLLCALL_CALLBACK_ALLOW: CIDR ranges, addresses and host names. `::/0` is every address, IPv4 too. */
  allow: readonly string[]
  /** Whether loopback is allowed, because the service itself listens on nothing else: the machine of a developer. */
  loopback: boolean
  /** By default /etc/hosts and DNS; for allowed names also the resolver of the system. */
  resolve?: Resolve
}

/**
 * Keeps callbacks out of the network that the service stands in. An allowed host may have any address and be called
 * without TLS, and so may an allowed address be. Every other receiver has to be public and use https.
 *
 * A URL is judged three times: its text when it is given, its text and the addresses of its name at each attempt, and
 * the address of the socket once it is connected.
 */
export class Guard {
  readonly #names: ReadonlySet<string>
  readonly #ranges: BlockList
  readonly #resolve: Resolve
  /** Whether a name might resolve to an allowed address. Only localhost resolves to loopback, so that does not count. */
  readonly #hasRanges: boolean
  readonly #onResolved: ((hostname: string, address: string) => void)[] = []

  constructor({ allow, loopback, resolve }: Rules) {
    const ranges = allow.filter(isRange)
    this.#names = new Set(allow.filter(entry => !isRange(entry)).map(nameOf))
    this.#ranges = rangesOf(...ranges, ...(loopback ? LOOPBACK : []))
    this.#hasRanges = ranges.length > 0
    this.#resolve = resolve ?? resolver({ isKnownHere: name => this.#names.has(nameOf(name)) })
  }

  /**
   * One sentence that says why this URL may not be called, as far as its text tells; nothing is resolved. The parser
   * has already made one address of all spellings of it, such as 0x7f.1, 2130706433 and ①②⑦.0.0.1.
   */
  refusalOf(url: string): string | undefined {
    if (!URL.canParse(url)) return 'The callback URL is not a URL.'
    const { protocol, username, password, port, hostname } = new URL(url)
    if (!isProtocol(protocol)) return 'The callback URL has to begin with https:// or http://.'
    if (username !== '' || password !== '') {
      return 'The callback URL may not hold a user name or password.'
    }
    if (port === '0') return 'The callback URL may not have port 0.'

    const address = addressIn(hostname)
    if (address !== undefined) return this.refusalOfAddress(address, { protocol, hostname })
    const mayDoWithoutTls = this.#hasRanges || this.#names.has(nameOf(hostname))
    return protocol === 'https:' || mayDoWithoutTls ? undefined : refusedWithoutTls(hostname)
  }

  /** Like `refusalOf`, for one address of the host. */
  refusalOfAddress(
    address: string,
    { protocol, hostname }: { protocol: Protocol; hostname: string },
  ): string | undefined {
    if (this.#names.has(nameOf(hostname)) || holds(this.#ranges, address)) return undefined
    if (isPublic(address)) return protocol === 'http:' ? refusedWithoutTls(hostname) : undefined
    const whose = bare(hostname) === address ? address : `${hostname} is ${address}, which`
    return `${whose} is not a public address, and ROLLCALL_CALLBACK_ALLOW does not have it.`
  }

  /**
   * In place of `dns.lookup` for a connection. The connection goes to the addresses vetted here, so a later answer of
   * DNS changes nothing. One bad address condemns the name, because chance decides which of them is connected to. An
   * address in place of a name never comes here; node connects to it without a look-up.
   */
  lookupFor(protocol: Protocol): LookupFunction {
    const vetted = callbackify((hostname: string) => this.#vetted(hostname, protocol))
    return (hostname, { all }, callback) => {
      vetted(hostname, (error, addresses) => {
        if (error) callback(error, [])
        else if (all) callback(null, addresses)
        else callback(null, addresses[0].address, addresses[0].family)
      })
    }
  }

  /** Calls `listener` with every resolved name that may be called, and its first address. */
  onResolved(listener: (hostname: string, address: string) => void): void {
    this.#onResolved.push(listener)
  }

  async #vetted(hostname: string, protocol: Protocol): Promise<Addresses> {
    const addresses = await this.#resolve(hostname).catch((cause: unknown) => {
      throw new Unreached('unreachable', `${hostname} cannot be resolved.`, { cause })
    })
    const isPermitted = ({ address }: LookupAddress) =>
      this.refusalOfAddress(address, { protocol, hostname }) === undefined
    const permitted = addresses.filter(isPermitted)
    // Both are this machine, and its receiver may listen on either.
    const [first, ...others] = isLocalhost(hostname) && permitted[0] ? permitted : addresses
    if (first === undefined) {
      const cause = new Error('The answer holds no address.')
      throw new Unreached('unreachable', `${hostname} has no address.`, { cause })
    }
    for (const { address } of [first, ...others]) {
      const refusal = this.refusalOfAddress(address, { protocol, hostname })
      if (refusal !== undefined) throw new Unreached('unreachable', refusal)
    }
    for (const tell of this.#onResolved) tell(hostname, first.address)
    return [first, ...others]
  }
}

const LOOPBACK = ['127.0.0.0/8', '::1']

/** Whether a service with this HOST is reached from its own machine only. */
export function isLoopback(host: string): boolean {
  return holds(rangesOf(...LOOPBACK), addressIn(host) ?? host)
}

/** Whether an entry of ROLLCALL_CALLBACK_ALLOW is an address, a CIDR range or a host name, without port or wildcard. */
export function isAllowable(entry: string): boolean {
  return isRange(entry) || isName(entry)
}

/** domainToASCII takes more than names: it drops all after a slash, and turns a text that can be read as an address into one. */
function isName(entry: string): boolean {
  const name = nameOf(entry)
  return /^[\p{L}\p{M}\p{N}._-]+$/u.test(entry) && /^[\w-]+(\.[\w-]+)*$/.test(name) && !isIP(name)
}

function isRange(entry: string): boolean {
  const [network = '', bits, more] = entry.split('/')
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(network)] ?? -1
  if (network.includes('%') || more !== undefined) return false
  return bits === undefined ? most > 0 : /^\d{1,3}$/.test(bits) && Number(bits) <= most
}

/** A host name in the one form in which it is compared; the dot that may end a name says nothing. */
function nameOf(hostname: string): string {
  return domainToASCII(hostname).replace(/\.$/, '')
}

/** The address that the text of a host names without a look-up. */
function addressIn(hostname: string): string | undefined {
  if (isIP(bare(hostname))) return bare(hostname)
  return isLocalhost(nameOf(hostname)) ? '127.0.0.1' : undefined
}

/** An IPv6 address in a URL stands in brackets. */
function bare(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1')
}

function isProtocol(protocol: string): protocol is Protocol {
  return protocol === 'http:' || protocol === 'https:'
}

function refusedWithoutTls(hostname: string): string {
  return `${hostname} has to be called with https, because ROLLCALL_CALLBACK_ALLOW does not have it.`
}
