/** A message from the producer to a worker, with everything that is needed for one batch. */
export interface Message {
  execution_id: string
  generation: number
  batch_index: number
  folder: string
  files: string[]
}

export interface Delivery<Body> {
  delivery: number
  message: Body
}

interface Held<Body> {
  message: Body
  consumer: string
  visible_at: number
}

/**
 * A queue as teams have it: at least once and in no order. Each message is delivered twice, each time until it is
 * acknowledged. A delivery comes again when it is given back, outlasts its visibility timeout, or its consumer dies.
 * Times are milliseconds of the caller's clock.
 */
export class Queue<Body> {
  readonly #random: () => number
  readonly #visibilityMs: number
  readonly #visible: Body[] = []
  #delayed: { message: Body; visible_at: number }[] = []
  readonly #held = new Map<number, Held<Body>>()
  #deliveries = 0

  constructor(options: { random: () => number; visibilityMs: number }) {
    this.#random = options.random
    this.#visibilityMs = options.visibilityMs
  }

  publish(message: Body): void {
    this.#visible.push(message, message)
  }

  /** A random draw from the visible messages is a shuffle that need not know all messages beforehand. */
  receive(consumer: string, now: number): Delivery<Body> | undefined {
    this.#reveal(now)
    const last = this.#visible.pop()
    if (last === undefined) return undefined
    const drawn = Math.floor(this.#random() * (this.#visible.length + 1))
    const message = this.#visible[drawn] ?? last
    if (drawn < this.#visible.length) this.#visible[drawn] = last
    this.#deliveries += 1
    this.#held.set(this.#deliveries, { message, consumer, visible_at: now + this.#visibilityMs })
    return { delivery: this.#deliveries, message }
  }

  /** A delivery that was taken back meanwhile is not acknowledged by its old holder: it comes again. */
  acknowledge(delivery: number): void {
    this.#held.delete(delivery)
  }

  giveBack(delivery: number, visible_at: number): void {
    const held = this.#held.get(delivery)
    if (held === undefined) return
    this.#held.delete(delivery)
    this.#delayed.push({ message: held.message, visible_at })
  }

  consumerDied(consumer: string): void {
    for (const [delivery, held] of this.#held) {
      if (held.consumer === consumer) this.giveBack(delivery, 0)
    }
  }

  /** Deliveries made so far. */
  get deliveries(): number {
    return this.#deliveries
  }

  /** Messages not acknowledged yet, wherever they are. */
  get size(): number {
    return this.#visible.length + this.#delayed.length + this.#held.size
  }

  #reveal(now: number): void {
    for (const [delivery, held] of this.#held) {
      if (held.visible_at <= now) this.giveBack(delivery, 0)
    }
    const due = this.#delayed.filter(({ visible_at }) => visible_at <= now)
    if (due.length === 0) return
    this.#delayed = this.#delayed.filter(({ visible_at }) => visible_at > now)
    this.#visible.push(...due.map(({ message }) => message))
  }
}

/** Mulberry32: the same seed draws the same numbers. */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
