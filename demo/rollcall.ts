import { randomUUID } from 'node:crypto'
import { setTimeout as rest } from 'node:timers/promises'
import * as z from 'zod'
import { DemoFailure } from './failure.ts'

/** How long a service that does not answer is asked again before the demo gives up. */
const PATIENCE_MS = 60_000
const REST_MS = 250
const REPLY_MS = 10_000
const WAIT_SECONDS = 20

const Enqueued = z.object({ generation: z.int() })

const Claimed = z.object({
  outcome: z.string(),
  claimed: z.boolean(),
  settled: z.boolean(),
  token: z.string().optional(),
  attempt: z.int().optional(),
  retry_after_seconds: z.number().optional(),
})

const Decremented = z.object({ outcome: z.string(), settled: z.boolean() })

const Refused = z.object({
  code: z.string(),
  detail: z.string().optional(),
  settled: z.boolean().default(false),
})

const Barrier = z.object({
  execution_id: z.string(),
  generation: z.int(),
  state: z.string(),
  reason: z.string().nullish(),
  total: z.int(),
  succeeded: z.int(),
  failed: z.int(),
})

const CallbackState = z.object({ state: z.string(), attempts: z.array(z.unknown()).default([]) })

const Page = z.object({
  data: z.array(z.object({ batch_index: z.int(), state: z.string(), result: z.unknown() })),
  next_cursor: z.string().nullable(),
})

type Claim = z.infer<typeof Claimed>
type Decrement = z.infer<typeof Decremented>
export type Barrier = z.infer<typeof Barrier>
export type RecordedBatch = z.infer<typeof Page>['data'][number]

interface Ask {
  method: 'GET' | 'POST'
  path: string
  body?: object
  key?: string
  replyMs?: number
}

interface Reply {
  status: number
  body: unknown
}

interface Batch {
  execution_id: string
  generation: number
  batch_index: number
}

/** The calls of a producer and its workers. After a lost reply the same call is made again: every call may be repeated. */
export class Rollcall {
  readonly #url: string
  readonly #signal: AbortSignal | undefined

  constructor(url: string, signal?: AbortSignal) {
    this.#url = url.replace(/\/+$/, '')
    this.#signal = signal
  }

  async enqueue(execution_id: string, content: object): Promise<z.infer<typeof Enqueued>> {
    const path = `${executionPath(execution_id)}/barrier/enqueue`
    const reply = await this.#ask({ method: 'POST', path, body: content, key: randomUUID() })
    const refused = Refused.safeParse(reply.body)
    if (refused.success && refused.data.code === 'callback_url_refused') {
      throw new DemoFailure(
        `The service at ${this.#url} does not take the callback of the demo: ${refused.data.detail ?? refused.data.code} Start it with ROLLCALL_WEBHOOK_SECRET and with ROLLCALL_CALLBACK_ALLOW=127.0.0.1/32, or stop it, and the demo starts its own.`,
      )
    }
    return read(Enqueued, reply)
  }

  async claim(batch: Batch, body: { lease_seconds: number; owner: string }): Promise<Claim> {
    const { execution_id, generation, batch_index } = batch
    const path = `${executionPath(execution_id)}/batches/${batch_index}/claim`
    const key = randomUUID()
    const reply = await this.#ask({ method: 'POST', path, body: { ...body, generation }, key })
    return read(Claimed, reply)
  }

  /** Makes one attempt only, because the next heartbeat is its repetition. */
  async heartbeat({ execution_id, batch_index }: Batch, token: string): Promise<boolean> {
    const path = `${executionPath(execution_id)}/batches/${batch_index}/heartbeat`
    const reply = await this.#attempt({ method: 'POST', path, body: { token } })
    return reply?.status === 200
  }

  async decrement(batch: Batch, body: { token: string; result: object }): Promise<Decrement> {
    const { execution_id, generation, batch_index } = batch
    const path = `${executionPath(execution_id)}/barrier/decrement`
    const reply = await this.#ask({
      method: 'POST',
      path,
      body: { generation, batch_index, ...body },
    })
    if (reply.status !== 409) return read(Decremented, reply)
    const { code, settled } = Refused.parse(reply.body)
    return { outcome: code, settled }
  }

  /** The barrier as soon as it is no longer open. */
  async closed(execution_id: string, generation: number): Promise<Barrier> {
    const query = `generation=${generation}&wait_seconds=${WAIT_SECONDS}`
    const path = `${executionPath(execution_id)}/barrier?${query}`
    const replyMs = REPLY_MS + WAIT_SECONDS * 1_000
    const barrier = read(Barrier, await this.#ask({ method: 'GET', path, replyMs }))
    return barrier.state === 'open' ? this.closed(execution_id, generation) : barrier
  }

  /** The batches in index order, page by page until there is no next one. */
  batches({ execution_id, generation }: Barrier): AsyncGenerator<RecordedBatch> {
    return this.pages(`${executionPath(execution_id)}/batches?generation=${generation}&limit=1000`)
  }

  /** The same, from the results_url of a callback, which is a path or a URL. */
  async *pages(path: string, cursor?: string): AsyncGenerator<RecordedBatch> {
    const url = new URL(path, this.#url)
    if (cursor !== undefined) url.searchParams.set('cursor', cursor)
    const page = read(Page, await this.#ask({ method: 'GET', path: url.href }))
    yield* page.data
    if (page.next_cursor !== null) yield* this.pages(path, page.next_cursor)
  }

  /** The callback as the service shows it, once it is no longer about to be sent or time is up. */
  async callback(
    execution_id: string,
    giveUpAt = performance.now() + REPLY_MS,
  ): Promise<z.infer<typeof CallbackState>> {
    const path = `${executionPath(execution_id)}/callback`
    const callback = read(CallbackState, await this.#ask({ method: 'GET', path }))
    const isPending = callback.state === 'due' || callback.state === 'delivering'
    if (!isPending || performance.now() > giveUpAt) return callback
    await rest(REST_MS)
    return this.callback(execution_id, giveUpAt)
  }

  async #ask(ask: Ask, giveUpAt = performance.now() + PATIENCE_MS): Promise<Reply> {
    const reply = await this.#attempt(ask)
    if (reply !== undefined && reply.status < 500) return reply
    this.#signal?.throwIfAborted()
    if (performance.now() > giveUpAt) {
      const said = reply === undefined ? 'does not answer' : `answers ${reply.status}`
      throw new DemoFailure(`The service at ${this.#url} ${said} to ${ask.method} ${ask.path}.`)
    }
    await rest(REST_MS)
    return this.#ask(ask, giveUpAt)
  }

  /** Undefined when no whole reply came: the effect of the call is then unknown. */
  async #attempt({ method, path, body, key, replyMs = REPLY_MS }: Ask): Promise<Reply | undefined> {
    const headers = new Headers()
    if (body !== undefined) headers.set('content-type', 'application/json')
    if (key !== undefined) headers.set('idempotency-key', key)
    const limits = [AbortSignal.timeout(replyMs), this.#signal].filter(limit => limit !== undefined)
    try {
      const response = await fetch(new URL(path, this.#url), {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.any(limits),
      })
      const text = await response.text()
      return { status: response.status, body: response.status < 500 ? JSON.parse(text) : text }
    } catch {
      return undefined
    }
  }
}

function executionPath(execution_id: string): string {
  return `/executions/${encodeURIComponent(execution_id)}`
}

function read<Schema extends z.ZodType>(schema: Schema, { status, body }: Reply): z.infer<Schema> {
  if (status < 300) return schema.parse(body)
  const refused = Refused.safeParse(body)
  const said = refused.success
    ? `${refused.data.code}: ${refused.data.detail ?? ''}`
    : String(status)
  throw new DemoFailure(`The service refused a call of the demo: ${said}`)
}
