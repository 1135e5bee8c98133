import { isIP } from 'node:net'

/**
 * How a receiver did when it was last called: it answered soon, it answered late, or it was silent. `unknown`: nobody
 * remembers a call of it.
 */
export type Pace = 'quick' | 'unknown' | 'slow' | 'hung'

/** An attempt that takes this long is a slow one, however it ends. */
export const SLOW_MS = 2_000

/** How many keys are remembered. Strangers choose these names and addresses, so their number is bounded. */
const MOST_KEYS = 10_000

/** The paces of receivers, as the attempts of this replica showed them. A new replica knows only those on the rows. */
export class Paces {
  readonly #receivers = new Newest<Pace>()
  readonly #networks = new Newest<Pace>()
  readonly #addresses = new Newest<string>()

  /** The network of the address in the host, or of the one that its name last resolved to; before that a network of its own. */
  networkOf(host: string): string {
    const hostname = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
    return networkOfAddress(isIP(hostname) ? hostname : (this.#addresses.get(hostname) ?? hostname))
  }

  resolved(hostname: string, address: string): void {
    this.#addresses.set(hostname, address)
  }

  /** A receiver that nobody knows counts as slow if its network was late last; a neighbour that hangs says little about it. */
  of(receiver: string, network: string, onRow: Pace | undefined): Pace {
    const own = this.#receivers.get(receiver) ?? onRow
    if (own !== undefined) return own
    return isLate(this.#networks.get(network)) ? 'slow' : 'unknown'
  }

  ended(receiver: string, network: string, pace: Pace): void {
    this.#receivers.set(receiver, pace)
    this.#networks.set(network, pace)
  }
}

export function paceOf({ status, milliseconds }: { status?: number; milliseconds: number }): Pace {
  if (milliseconds < SLOW_MS) return 'quick'
  return status === undefined ? 'hung' : 'slow'
}

export function isLate(pace: Pace | undefined): boolean {
  return pace === 'slow' || pace === 'hung'
}

/** The first 64 bits of an IPv6 address, because one owner has all addresses behind them; any other text as it is. */
function networkOfAddress(address: string): string {
  if (isIP(address) !== 6) return address
  // URL brings all spellings into one form of at most eight groups; an IPv4 address at the end becomes two of them.
  const [head = '', tail] = new URL(`http://[${address.replace(/%.*/, '')}]`).hostname
    .slice(1, -1)
    .split('::')
  const [before, after] = [head, tail ?? ''].map(part => part.split(':').filter(Boolean))
  const left = 8 - (before?.length ?? 0) - (after?.length ?? 0)
  const zeros = Array.from({ length: tail === undefined ? 0 : left }, () => '0')
  return [...(before ?? []), ...zeros, ...(after ?? [])].slice(0, 4).join(':')
}

/** A map that forgets what was set longest ago. */
class Newest<Value> {
  readonly #map = new Map<string, Value>()

  get(key: string): Value | undefined {
    return this.#map.get(key)
  }

  set(key: string, value: Value): void {
    this.#map.delete(key)
    this.#map.set(key, value)
    if (this.#map.size <= MOST_KEYS) return
    for (const oldest of this.#map.keys()) return void this.#map.delete(oldest)
  }
}
