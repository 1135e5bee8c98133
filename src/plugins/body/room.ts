/** An upload takes room in steps of this size, so that bytes that have not arrived take at most one step. */
export const STEP_BYTES = 64 * 1024

/** A body above this size is large, and a part of the room is closed to it. */
export const LARGE_BYTES = 1024 * 1024

export interface Guest {
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
 * Bounds the bytes of all bodies that have arrived and are not answered. An upload that finds no room is paused, with its
 * next bytes still in the socket. Large bodies may not use the last quarter of the room, so that they never shut the others
 * out. The oldest large one may always go on, so that uploads that fill the room together do not wait for each other.
 */
export class Room {
  readonly #bytes: number
  #taken = 0
  #waiting = 0
  /** Kept in the order of their arrival. */
  readonly #guests = new Map<Guest, Held>()

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  /** Takes room for the next bytes of an upload. If there is none, returns false and calls `resume` once there is. */
  step(guest: Guest): boolean {
    let held = this.#guests.get(guest)
    if (!held) this.#guests.set(guest, (held = { bytes: 0, waits: false }))
    if (this.#mayGoOn(guest)) this.#hold(held, held.bytes + STEP_BYTES)
    else {
      held.waits = true
      this.#waiting += 1
    }
    return !held.waits
  }

  /** Called when the whole body has arrived; from now on it holds exactly `bytes`. */
  settle(guest: Guest, bytes: number): void {
    const held = this.#guests.get(guest)
    if (!held) return
    this.#hold(held, bytes)
    this.#admit()
  }

  leave(guest: Guest): void {
    const held = this.#guests.get(guest)
    if (!held) return
    this.#guests.delete(guest)
    if (held.waits) this.#waiting -= 1
    const { bytes } = held
    this.#hold(held, 0)
    // A guest without bytes frees no room, and thousands of such guests may leave at once.
    if (bytes > 0) this.#admit()
  }

  #hold(held: Held, bytes: number): void {
    this.#taken += bytes - held.bytes
    held.bytes = bytes
  }

  #mayGoOn(guest: Guest): boolean {
    const isLarge = guest.isLarge()
    const most = isLarge ? this.#bytes - this.#bytes / 4 : this.#bytes
    return this.#taken + STEP_BYTES <= most || (isLarge && this.#oldestLarge() === guest)
  }

  #oldestLarge(): Guest | undefined {
    for (const guest of this.#guests.keys()) if (guest.isLarge()) return guest
    return undefined
  }

  #admit(): void {
    if (this.#waiting === 0) return
    for (const [guest, held] of this.#guests) {
      if (!held.waits || !this.#mayGoOn(guest)) continue
      held.waits = false
      this.#waiting -= 1
      this.#hold(held, held.bytes + STEP_BYTES)
      guest.resume()
    }
  }
}
