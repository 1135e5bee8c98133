import { isIP } from 'node:net'

/**
 * How a receiver did when it was last called: it answered soon, it answered late, or it was silent. `unknown` is one that was
 * never called as far as anybody remembers.
 */
export type Pace = 'quick' | 'unknown' | 'slow' | 'hung'

/** An attempt that takes longer is a slow one, whatever comes of it. */
export const SLOW_MS = 2_000

/** Keys that are remembered: names and addresses of strangers, so their number has to end somewhere. */
const MOST_KEYS = 10_000

/** What the attempts of this replica told of their receivers. A replica that starts knows only what is on the rows. */
export class Paces {
  readonly #receivers = new Newest<Pace>()
  readonly #networks = new Newest<Pace>()
  readonly #addresses = new Newest<string>()

  /** Where the host is, as its text says, or its name when it was last resolved; until then it is a network of its own. */
  networkOf(host: string): string {
    const hostname = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
    return networkOfAddress(isIP(hostname) ? hostname : (this.#addresses.get(hostname) ?? hostname))
  }

  resolved(hostname: string, address: string): void {
    this.#addresses.set(hostname, address)
  }

  /** A receiver that nobody knows is taken for what others in its network were. That one is silent says little of its neighbour. */
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

/** Of an IPv6 address the 64 bits that its owner gets whole; anything else is itself. */
function networkOfAddress(address: string): string {
  if (isIP(address) !== 6) return address
  // The one form that all spellings have, in eight groups at most: an address of IPv4 at its end is two of them.
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
