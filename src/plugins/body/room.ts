import { overloaded, type Refusal } from '../../refusals.ts'

/** Room that somebody has: he keeps so many bytes of it, and gives the others back. */
export type Keep = (bytes: number) => void

interface Waiter {
  bytes: number
  enter: (keep: Keep) => void
  clock: NodeJS.Timeout
}

/** So many bytes at once; who finds no room waits in line, and no longer than `waitMs`. */
export class Room {
  #free: number
  readonly #waitMs: number
  #line: Waiter[] = []

  constructor(bytes: number, waitMs: number) {
    this.#free = bytes
    this.#waitMs = waitMs
  }

  /** Calls `enter` once there is room, or `refuse` if there was none in time. */
  take(bytes: number, enter: Waiter['enter'], refuse: (refusal: Refusal) => void): void {
    if (this.#line.length === 0 && bytes <= this.#free) return enter(this.#given(bytes))
    const clock = setTimeout(() => {
      this.#line = this.#line.filter(other => other !== waiter)
      refuse(overloaded())
      // Who comes next may be smaller.
      this.#admit()
    }, this.#waitMs)
    const waiter = { bytes, enter, clock }
    this.#line.push(waiter)
  }

  #given(bytes: number): Keep {
    let held = bytes
    this.#free -= held
    return kept => {
      if (kept >= held) return
      this.#free += held - kept
      held = kept
      this.#admit()
    }
  }

  #admit(): void {
    for (let next = this.#line[0]; next && next.bytes <= this.#free; next = this.#line[0]) {
      this.#line.shift()
      clearTimeout(next.clock)
      next.enter(this.#given(next.bytes))
    }
  }
}
