/** An upload asks for its next bytes in steps of this size, so that what has not arrived takes no more room. */
export const STEP_BYTES = 64 * 1024

/** A body above this size is large: it leaves a part of the room to the others. */
export const LARGE_BYTES = 1024 * 1024

export interface Guest {
  /** Of what its sender says, or what has arrived of a body of unknown length. */
  isLarge: () => boolean
  /** It may read on. */
  resume: () => void
}

interface Held {
  bytes: number
  waits: boolean
}

/**
 * The bytes of all bodies that have arrived and are not answered. An upload that finds no room is paused, with its next
 * bytes still in the socket. A quarter of the room is kept from large bodies, so that they never shut the others out; and the
 * oldest of the large ones may always go on, so that uploads that fill the room together do not wait for each other.
 */
export class Room {
  readonly #bytes: number
  #taken = 0
  #waiting = 0
  /** In the order of their arrival. */
  readonly #guests = new Map<Guest, Held>()

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  /** Takes room for the next bytes of an upload. If there is none it is called when there is. */
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

  /** All of it has arrived: it holds so many bytes. */
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
    // One that held nothing leaves no room, and thousands of them may give up at once.
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
