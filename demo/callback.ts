import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as rest } from 'node:timers/promises'
import type { FromReceiver } from './channel.ts'
import { DemoFailure } from './failure.ts'
import { REFUSED_ATTEMPTS, type Attempt } from './inbox.ts'
import type { Progress } from './progress.ts'

const TICK_MS = 100
/** Rollcall sends at once, and again this long after each failed attempt; jitter may add to it. */
const WAITS_SECONDS = [0, 5, 30]
const PATIENCE_SECONDS = 60

/** The callback as its receiver sees it, which is a process of its own. */
export class Callback {
  readonly attempts: Attempt[] = []
  readonly #receiver: ChildProcess
  readonly #progress: Progress
  readonly #stop: AbortController
  #lastAt = performance.now()
  #acceptedBody: string | undefined

  constructor(
    receiver: ChildProcess,
    { progress, stop }: { progress: Progress; stop: AbortController },
  ) {
    this.#receiver = receiver
    this.#progress = progress
    this.#stop = stop
    receiver.on('message', (said: FromReceiver) => {
      if (said.type === 'attempt') this.#hear(said.attempt, said.body)
    })
    receiver.once('exit', () => stop.abort(new DemoFailure('The receiver ended in the demo.')))
  }

  /** The URL at which the receiver listens. Ask for it once, at the beginning. */
  async url(): Promise<string> {
    const { signal } = this.#stop
    const [said] = (await once(this.#receiver, 'message', { signal })) as [FromReceiver]
    if (said.type !== 'listening') throw new DemoFailure('The receiver does not listen.')
    return said.url
  }

  /** The body of the first attempt that is accepted; undefined when the next attempt is long overdue. */
  async accepted(): Promise<string | undefined> {
    if (this.attempts.length === 0) this.#lastAt = performance.now()
    for (;;) {
      if (this.#acceptedBody !== undefined) return this.#acceptedBody
      const now = performance.now()
      const seconds = (now - this.#lastAt) / 1_000
      if (seconds > this.#dueAfterSeconds + PATIENCE_SECONDS) return undefined
      this.#progress.wait(waiting(this.attempts.length + 1, seconds, this.#dueAfterSeconds), now)
      await rest(TICK_MS, undefined, { signal: this.#stop.signal })
    }
  }

  get #dueAfterSeconds(): number {
    return WAITS_SECONDS[this.attempts.length] ?? 0
  }

  #hear(attempt: Attempt, body: string): void {
    this.#lastAt = performance.now()
    this.attempts.push(attempt)
    const { webhook_id, status, signature } = attempt
    if (status === 204) this.#acceptedBody ??= body
    this.#progress.note(
      `The receiver gets attempt ${this.attempts.length} of the callback, ${webhook_id || 'without an id'}, signature ${signature}, and answers ${status}.`,
    )
  }
}

/** The line of progress that explains why nothing seems to happen. */
export function waiting(attempt: number, seconds: number, dueAfterSeconds: number): string {
  const due = dueAfterSeconds === 0 ? 'due at once' : `due after ${dueAfterSeconds} s and more`
  const of = `attempt ${attempt} of ${Math.max(attempt, REFUSED_ATTEMPTS + 1)}`
  return `waiting for the callback, ${of}, for ${Math.floor(seconds)} s, ${due}`
}
