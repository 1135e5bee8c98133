import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import type { buildConnector, Client, Dispatcher } from 'undici'
import { version } from '../package.ts'
import { type Cause, causeOf } from './cause.ts'
import { guardedConnector } from './connector.ts'
import { excerptOf } from './excerpt.ts'
import type { Guard } from './guard.ts'
import { Line } from './line.ts'
import { retryAfterSeconds } from './schedule.ts'
import { sign } from './signature.ts'
import { type AttemptError, Unreached } from './unreached.ts'

/** How an attempt ended: with a status, even if the body after it broke off, or with an error. */
export interface Attempt {
  status?: number
  error?: AttemptError
  /** The exact error, for the log alone: it would show which names and ports exist in this network. */
  why?: Cause
  milliseconds: number
  /** The first 200 characters of the response, without controls. */
  response?: string
  /** The response came from a receiver that the public cannot reach: it is shown to nobody. */
  is_private?: true
  retry_after_seconds?: number
}

export interface Message {
  url: string
  /** The `webhook-id`: the same on every attempt. */
  id: string
  /** JSON, sent as it is. */
  body: string
}

interface Limits {
  /** Until there is a connection, DNS and TLS included. */
  connect_ms: number
  /** Until the status has come, and until the whole attempt is over. */
  attempt_ms: number
  /** For the response after its status, which alone decides. */
  response_ms: number
  response_bytes: number
  /** How long an attempt takes whose name has no callable address: longer than it takes to resolve any name. */
  unreachable_ms: number
}

export const LIMITS: Limits = {
  connect_ms: 5_000,
  attempt_ms: 15_000,
  response_ms: 1_000,
  response_bytes: 16 * 1024,
  unreachable_ms: 4_000,
}

interface Options {
  guard: Guard
  /** From ROLLCALL_WEBHOOK_SECRET, newest first. */
  secrets: readonly string[]
  limits?: Partial<Limits>
}

/** POSTs messages to receivers, and bears whatever they do with a connection. */
export class Sender {
  readonly #guard: Guard
  readonly #secrets: readonly string[]
  readonly #limits: Limits
  readonly #connect: buildConnector.connector
  readonly #clients = new Set<Client>()
  readonly #closed = new AbortController()

  constructor({ guard, secrets, limits }: Options) {
    this.#guard = guard
    this.#secrets = secrets
    this.#limits = { ...LIMITS, ...limits }
    this.#connect = guardedConnector(guard, this.#limits.connect_ms)
  }

  /**
   * Makes one attempt. The response is cut off after 16 KiB or one second, and its status counts all the same: a receiver
   * that answered has the message. Rejects only when the sender was closed meanwhile: then nobody knows how it ended.
   */
  async post({ url, id, body }: Message): Promise<Attempt> {
    const began = performance.now()
    const passed = () => Math.round(performance.now() - began)
    const outcome = await this.#attempt({ url, id, body }).catch((error: unknown) => {
      if (this.#closed.signal.aborted) throw error
      const kind = error instanceof Unreached ? error.kind : 'no_response'
      return { error: kind, why: causeOf(error) } as const
    })
    if (outcome.error === 'unreachable') {
      // All of these take the same time, so that the time does not show whether a name exists.
      const left = Math.max(0, this.#limits.unreachable_ms - passed())
      await pause(left, undefined, { signal: this.#closed.signal })
    }
    return { ...outcome, milliseconds: passed() }
  }

  /** Ends every attempt that is under way. */
  async close(): Promise<void> {
    this.#closed.abort()
    await Promise.all([...this.#clients].map(client => client.destroy()))
  }

  async #attempt({ url, id, body }: Message): Promise<Omit<Attempt, 'milliseconds'>> {
    const refusal = this.#guard.refusalOf(url)
    if (refusal !== undefined) throw new Unreached('unreachable', refusal)
    if (this.#closed.signal.aborted) throw new Error('The sender is closed.')

    const { attempt_ms, response_ms } = this.#limits
    const clock = new AbortController()
    const late = new Unreached('timeout', `No status came within ${attempt_ms} ms.`)
    const attemptTimer = setTimeout(() => clock.abort(late), attempt_ms)
    let responseTimer: NodeJS.Timeout | undefined
    const target = new URL(url)
    const line = new Line(target, this.#connect)
    this.#clients.add(line.client)
    try {
      const reply = await line.client.request({
        method: 'POST',
        path: target.pathname + target.search,
        body,
        headers: {
          'content-type': 'application/json',
          'user-agent': `rollcall/${version}`,
          ...sign({
            id,
            // The clock of this process, because receivers compare it with their own; they allow a difference of some minutes.
            timestamp: Math.floor(Date.now() / 1000),
            body,
            secrets: this.#secrets,
          }),
        },
        signal: clock.signal,
      })
      responseTimer = setTimeout(() => clock.abort(), response_ms)
      const bytes = await this.#beginningOf(reply.body)
      const wait = retryAfterSeconds(reply.headers['retry-after'])
      return {
        status: reply.statusCode,
        ...(bytes.length > 0 && { response: excerptOf(bytes) }),
        ...(bytes.length > 0 && !line.isPublic && { is_private: true }),
        ...(wait !== undefined && { retry_after_seconds: wait }),
      }
    } finally {
      clearTimeout(attemptTimer)
      clearTimeout(responseTimer)
      this.#clients.delete(line.client)
      // It rejects only if there is nothing left to end.
      void line.client.destroy().catch(() => undefined)
    }
  }

  /** The part of the body that can be had; leaving the loop early destroys the connection. */
  async #beginningOf(response: Dispatcher.ResponseData['body']): Promise<Buffer> {
    const chunks: Buffer[] = []
    let length = 0
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        chunks.push(chunk)
        length += chunk.length
        if (length >= this.#limits.response_bytes) break
      }
    } catch {
      // It broke off or took too long; the status has come.
    }
    return Buffer.concat(chunks)
  }
}
