/** An upload reserves bytes in steps of this size, so that bytes that have not arrived reserve at most one step. */
export const STEP_BYTES = 64 * 1024

/** A body above this size is large, and a part of the budget is closed to it. */
export const LARGE_BYTES = 1024 * 1024

/** A body that holds bytes of the budget, or waits for them. */
export interface Holder {
  /** Judged by the announced length, or, without one, by the bytes that have arrived. */
  isLarge: () => boolean
  /** Called when it may read on. */
  resume: () => void
}

interface Held {
  bytes: number
  waits: boolean
}

/**
 * Bounds the bytes of all bodies that have arrived and are not answered. An upload that finds none free is paused, with its
 * next bytes still in the socket. Large bodies may not use the last quarter of the budget, so that they never shut others
 * out. The oldest large one may always go on, so that uploads that fill the budget together do not wait for each other.
 */
export class ByteBudget {
  readonly #bytes: number
  #reserved = 0
  #waiting = 0
  /** Kept in the order of their arrival. */
  readonly #holders = new Map<Holder, Held>()

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  /** Reserves the next bytes for an upload. If none are free, returns false and calls `resume` once they are. */
  reserve(holder: Holder): boolean {
    let held = this.#holders.get(holder)
    if (!held) this.#holders.set(holder, (held = { bytes: 0, waits: false }))
    if (this.#mayGoOn(holder)) this.#hold(held, held.bytes + STEP_BYTES)
    else {
      held.waits = true
      this.#waiting += 1
    }
    return !held.waits
  }

  /** Called when the whole body has arrived; from now on it holds exactly `bytes`. */
  settle(holder: Holder, bytes: number): void {
    const held = this.#holders.get(holder)
    if (!held) return
    this.#hold(held, bytes)
    this.#admit()
  }

  release(holder: Holder): void {
    const held = this.#holders.get(holder)
    if (!held) return
    this.#holders.delete(holder)
    if (held.waits) this.#waiting -= 1
    const { bytes } = held
    this.#hold(held, 0)
    // A holder without bytes frees nothing, and thousands of them may go at once.
    if (bytes > 0) this.#admit()
  }

  #hold(held: Held, bytes: number): void {
    this.#reserved += bytes - held.bytes
    held.bytes = bytes
  }

  #mayGoOn(holder: Holder): boolean {
    const isLarge = holder.isLarge()
    const most = isLarge ? this.#bytes - this.#bytes / 4 : this.#bytes
    return this.#reserved + STEP_BYTES <= most || (isLarge && this.#oldestLarge() === holder)
  }

  #oldestLarge(): Holder | undefined {
    for (const holder of this.#holders.keys()) if (holder.isLarge()) return holder
    return undefined
  }

  #admit(): void {
    if (this.#waiting === 0) return
    for (const [holder, held] of this.#holders) {
      if (!held.waits || !this.#mayGoOn(holder)) continue
      held.waits = false
      this.#waiting -= 1
      this.#hold(held, held.bytes + STEP_BYTES)
      holder.resume()
    }
  }
}
