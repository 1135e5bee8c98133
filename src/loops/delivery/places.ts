import { MOST_ATTEMPTS } from '../../descriptors.ts'
import { Counts, type Target } from './counts.ts'
import { isLate, type Pace, Paces, paceOf, SLOW_MS } from './paces.ts'

/** The share of all attempts under way in one replica that may go to one network. */
export const SHARE_OF_NETWORK = 5 / 6
/**
 * How many attempts may be younger than FRESH_MS. A receiver that answers soon never meets more at once. Attempts at silent
 * receivers make room for the next ones by this clock, so 1,000 of them at one host all begin within some six seconds.
 */
export const FRESH_MS = 200
export const FRESH = 128
export const FRESH_OF_NETWORK = 64
export const FRESH_OF_HOST = 40
/** The most attempts at one receiver. It is one as soon as SHARE_THAT_CROWDS of all places are taken. */
export const MOST_OF_RECEIVER = 4
export const SHARE_THAT_CROWDS = 1 / 6

/** Messages longer than this share LARGE_LIMIT_BYTES, so that those of silent receivers do not fill the memory. */
export const LARGE_BYTES = 16 * 1024
export const LARGE_LIMIT_BYTES = 32 * 1024 * 1024

/** The share of any room that a receiver of this pace may use: the rest stays free for those that do better. */
const SHARES: Readonly<Record<Pace, number>> = {
  quick: 1,
  unknown: 7 / 8,
  slow: 3 / 4,
  hung: 3 / 4,
}

/** A due callback, as look.sql returns it. */
export interface Due {
  namespace: string
  execution_id: string
  generation: number
  host: string
  receiver: string
  due_ms: number
  pace?: Pace
}

/** A due callback whose attempt may begin now. */
export interface Chosen extends Due {
  network: string
  large_left: number
}

interface UnderWay {
  receiver: string
  host: string
  begun_ms: number
  large_bytes: number
}

/** Gives a place back, with the end of the attempt if it is known. */
export type Leave = (ended?: { status?: number; milliseconds: number }) => void

interface Options {
  /** How many attempts may be under way. */
  most?: number
  /** Milliseconds since any fixed moment; it never goes back. */
  clock?: () => number
}

/**
 * Chooses the receivers that are called next. Networks take turns, in each its hosts, in each host its receivers: the one with
 * the fewest attempts under way first, among equals the one longest due. Part of every room is kept for receivers that answer.
 */
export class Places {
  readonly #underWay = new Set<UnderWay>()
  readonly #paces = new Paces()
  readonly #most: number
  readonly #clock: () => number
  /** Whether the last choice left out a callback that only has to wait for the clock. */
  isPaced = false

  constructor({ most = MOST_ATTEMPTS, clock = () => performance.now() }: Options = {}) {
    this.#most = most
    this.#clock = clock
  }

  choose(due: readonly Due[]): Chosen[] {
    const now = this.#clock()
    const placed = <One extends { host: string }>(one: One) => ({
      ...one,
      network: this.#paces.networkOf(one.host),
    })
    const underWay = [...this.#underWay].map(placed)
    const late = underWay.filter(({ begun_ms }) => now - begun_ms >= SLOW_MS)
    const isLateNow = new Set(late.map(({ receiver }) => receiver))
    const large = underWay.reduce((sum, { large_bytes }) => sum + large_bytes, 0)
    const all = new Counts(underWay)
    const fresh = new Counts(underWay.filter(({ begun_ms }) => now - begun_ms < FRESH_MS))

    this.isPaced = false
    const chosen: Chosen[] = []
    for (const candidate of inTurns(due.map(placed), all)) {
      const { receiver, network } = candidate
      const known = this.#paces.of(receiver, network, candidate.pace)
      const pace = isLateNow.has(receiver) && !isLate(known) ? 'slow' : known
      if (!hasRoom(candidate, pace, all, this.#most)) continue
      if (!isSoon(candidate, pace, fresh)) {
        this.isPaced = true
        continue
      }
      all.add(candidate)
      fresh.add(candidate)
      chosen.push({ ...candidate, large_left: LARGE_LIMIT_BYTES * SHARES[pace] - large })
    }
    return chosen
  }

  /** Takes a place for an attempt that begins. */
  take({ receiver, host }: Chosen, bytes: number): Leave {
    const large_bytes = bytes > LARGE_BYTES ? bytes : 0
    const attempt = { receiver, host, begun_ms: this.#clock(), large_bytes }
    this.#underWay.add(attempt)
    return ended => {
      this.#underWay.delete(attempt)
      if (ended) this.#paces.ended(receiver, this.#paces.networkOf(host), paceOf(ended))
    }
  }

  /** From now on names that resolve to one address are in one network. */
  resolved(hostname: string, address: string): void {
    this.#paces.resolved(hostname, address)
  }
}

function hasRoom({ network, receiver }: Target, pace: Pace, all: Counts, most: number): boolean {
  const room = most * SHARES[pace]
  const isAlone = pace === 'hung' || all.total >= most * SHARE_THAT_CROWDS
  return (
    all.total < room &&
    all.network.of(network) < room * SHARE_OF_NETWORK &&
    all.receiver.of(receiver) < (isAlone ? 1 : MOST_OF_RECEIVER)
  )
}

function isSoon({ network, host }: Target, pace: Pace, fresh: Counts): boolean {
  const share = SHARES[pace]
  return (
    fresh.total < FRESH * share &&
    fresh.network.of(network) < FRESH_OF_NETWORK * share &&
    fresh.host.of(host) < FRESH_OF_HOST * share
  )
}

/** Callbacks of one receiver by age; then the receivers of a host in turns, the hosts of a network, and the networks. */
function inTurns<One extends Due & Target>(due: readonly One[], underWay: Counts): One[] {
  let line = due.toSorted((one, other) => one.due_ms - other.due_ms)
  for (const level of ['receiver', 'host', 'network'] as const) {
    const before = new Map<string, number>()
    const turns = new Map<One, number>()
    for (const one of line) {
      const key = one[level]
      const turn = before.get(key) ?? underWay[level].of(key)
      turns.set(one, turn)
      before.set(key, turn + 1)
    }
    // The sort is stable: equals stay in the order of the level below.
    line = line.toSorted((one, other) => (turns.get(one) ?? 0) - (turns.get(other) ?? 0))
  }
  return line
}
