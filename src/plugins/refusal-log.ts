import type { FastifyBaseLogger } from 'fastify'
import type { Refusal, RefusalCode } from '../refusals.ts'

export const EVERY_MS = 1_000

/** Logs at most one line a second for each code, with a count, so that a flood of refusals does not flood the log. */
export class RefusalLog {
  readonly #more = new Map<RefusalCode, number>()

  /** The line has no stack, which would show where the refusal was made and not why. */
  tell(log: FastifyBaseLogger, { code, message, cause }: Refusal): void {
    const more = this.#more.get(code)
    if (more !== undefined) return void this.#more.set(code, more + 1)
    // Only the code of the cause is logged: its message may quote values that a caller sent.
    const { code: reason } = (cause ?? {}) as { code?: string }
    log.warn({ code, ...(reason !== undefined && { reason }) }, message)
    this.#rest(log, code, message)
  }

  #rest(log: FastifyBaseLogger, code: RefusalCode, message: string): void {
    this.#more.set(code, 0)
    setTimeout(() => {
      const count = this.#more.get(code) ?? 0
      this.#more.delete(code)
      if (count === 0) return
      log.warn({ code, count }, message)
      this.#rest(log, code, message)
    }, EVERY_MS).unref()
  }
}
