import { notWhole } from '../../json/faults.ts'
import { overloaded, type Refusal } from '../../refusals.ts'

/** Gives back the bytes that were taken. */
export type Leave = () => void

interface Waiter {
  bytes: number
  enter: (leave: Leave) => void
  clock: NodeJS.Timeout
}

/**
 * Bounds the bytes of large bodies in work. Such a body needs its size three times: as it came, as the ask that is made of
 * it, and as the message to Postgres. A body that finds no room waits in line for at most `waitMs`.
 */
export class Desk {
  #free: number
  readonly #waitMs: number
  #line: Waiter[] = []

  constructor(bytes: number, waitMs: number) {
    this.#free = bytes
    this.#waitMs = waitMs
  }

  /** Calls `enter` once there is room, or `refuse` if there was none in time. The function returned ends the wait early. */
  take(bytes: number, enter: Waiter['enter'], refuse: (refusal: Refusal) => void): Leave {
    if (this.#line.length === 0 && bytes <= this.#free) {
      enter(this.#given(bytes))
      return () => undefined
    }
    const turnAway = (refusal: Refusal) => {
      if (!this.#line.includes(waiter)) return
      clearTimeout(waiter.clock)
      this.#line = this.#line.filter(other => other !== waiter)
      refuse(refusal)
      // The next body in line may be smaller.
      this.#admit()
    }
    const clock = setTimeout(() => turnAway(overloaded()), this.#waitMs)
    const waiter = { bytes, enter, clock }
    this.#line.push(waiter)
    return () => turnAway(notWhole())
  }

  #given(bytes: number): Leave {
    let held = bytes
    this.#free -= held
    return () => {
      this.#free += held
      held = 0
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
