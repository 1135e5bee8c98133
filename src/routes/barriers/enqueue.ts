import { createHash } from 'node:crypto'
import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import { canonical } from '../../json/canonical.ts'
import { RawJson, stringify } from '../../json/raw.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { nonce } from '../../database/nonce.ts'
import { CallbackState } from '../fields.ts'
import { CallbackWish } from '../callbacks/wish.ts'
import { hostOf } from '../callbacks/host.ts'
import { CallersJson, IdempotencyKey } from '../text.ts'
import { Generation, Int32, Moment } from '../fields.ts'
import type { Routes } from '../plugin.ts'
import { never } from '../never.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { BarrierParams, counts } from './barrier.ts'
import { BarrierState } from '../fields.ts'

const seconds = z.int().min(1).max(2_592_000)

const Enqueue = z
  .strictObject({
    total: z
      .int()
      .min(0)
      .max(10_000_000)
      .meta({ format: 'int32', description: 'How many batches; 1,000,000 by default settings.' }),
    callback: CallbackWish.optional(),
    expires_in_seconds: seconds
      .default(21_600)
      .meta({ format: 'int32', description: 'When the barrier closes as expired.' }),
    stuck_after_seconds: seconds.default(9_000).meta({
      format: 'int32',
      description: 'How long without any progress before it closes as expired.',
    }),
    tolerated_failure_count: Int32.optional().describe(
      'How many batches may fail; 0 when left out.',
    ),
    tolerated_failure_percentage: z.int().min(0).max(100).optional().meta({
      format: 'int32',
      description:
        'Or which part of total, by integer division; not beside tolerated_failure_count.',
    }),
    max_attempts: z.int().min(1).max(1_000_000).optional().meta({
      format: 'int32',
      description:
        'How often one batch may be granted. After the last lease and a grace time the batch is recorded as failed.',
    }),
    metadata: CallersJson.optional().describe(
      'Any JSON without NUL and lone surrogates, to 64 KiB, handed on.',
    ),
    conflict_policy: z
      .enum(['use_existing', 'fail', 'replace'])
      .default('use_existing')
      .describe('What to do with a barrier that is there.'),
    generation: Generation.optional().describe(
      'Only with replace: the one generation it may replace.',
    ),
  })
  .refine(
    body =>
      body.tolerated_failure_count === undefined || body.tolerated_failure_percentage === undefined,
    {
      path: ['tolerated_failure_percentage'],
      message: 'has to be left out when tolerated_failure_count is given',
    },
  )
  .refine(body => body.generation === undefined || body.conflict_policy === 'replace', {
    path: ['generation'],
    message: 'has to be left out unless conflict_policy is replace',
  })
  .meta(
    never(
      { required: ['tolerated_failure_count', 'tolerated_failure_percentage'] },
      {
        required: ['generation'],
        properties: { conflict_policy: { enum: ['use_existing', 'fail'] } },
      },
    ),
  )

const Enqueued = z
  .object({
    outcome: z.enum(['created', 'existing']),
    execution_id: z.string(),
    generation: Int32,
    state: BarrierState,
    ...counts,
    created_at: Moment,
    expires_at: Moment,
    callback: z.object({ state: CallbackState }),
    replaced: z
      .object({
        generation: Int32,
        state: BarrierState,
        remaining: Int32,
        callback_state: CallbackState,
      })
      .nullable()
      .describe('What a replace ended.'),
  })
  .meta({ id: 'Enqueued', description: 'The barrier, created or found.' })

const schema = {
  summary: 'Raise the barrier of an execution, before its messages are published',
  operationId: 'enqueueBarrier',
  tags: ['barriers'],
  params: BarrierParams,
  headers: IdempotencyKey,
  body: Enqueue,
  response: {
    200: repliedWith('The barrier that is there.', Enqueued),
    201: repliedWith('A new barrier, or a new generation of it.', Enqueued, {
      Location: z.string().describe('The path of the barrier.'),
    }),
    ...refusedWith(
      'barrier_exists',
      'stale_generation',
      'enqueue_mismatch',
      'callback_url_refused',
      'execution_not_found',
      ...bodyRefusals,
    ),
  },
}

type Content = Omit<ReturnType<typeof withDefaults>, 'conflict_policy' | 'generation'>

interface Answer {
  outcome: 'created' | 'existing' | RefusalCode
  generation: number
  state: string
  callback_id?: string
  reply: RawJson
}

const sql = statement('enqueue.sql', import.meta.url, { locksBarrier: true })

export const enqueue: Routes = async app => {
  app.post('/executions/:execution_id/barrier/enqueue', { schema }, async (request, reply) => {
    const { namespace, params, body, headers } = request
    const { conflict_policy, generation, ...content } = withDefaults(body, app.limits.total)
    if (content.callback?.url !== undefined) app.mustBeCallable(content.callback.url)
    const answer = await app.ask<Answer>(sql, {
      namespace,
      ...params,
      ...content,
      nonce: nonce(),
      enqueue_key: headers['idempotency-key'],
      conflict_policy,
      generation,
      fingerprint: fingerprintOf(content),
      callback_host: content.callback?.url && hostOf(content.callback.url),
      callback_events: content.callback?.events,
    })
    if (answer.outcome !== 'created' && answer.outcome !== 'existing') {
      throw new Refusal(answer.outcome, { generation: answer.generation, state: answer.state })
    }
    if (answer.outcome === 'created') {
      const location = `/executions/${encodeURIComponent(params.execution_id)}/barrier`
      reply.code(201).header('location', location)
      // A total of 0 completes at once; a replace ends what others wait for.
      if (answer.state !== 'open') app.ends.closed({ namespace, ...params, ...answer })
      else if (answer.generation !== 1) app.ends.notify({ namespace, ...params })
    }
    return answer.reply
  })
}

/** Equal for equal content, whatever the order of the keys in callers' JSON. */
function fingerprintOf(content: Content): string {
  const { callback } = content
  const whole = {
    ...content,
    ...(content.metadata && { metadata: ordered(content.metadata) }),
    callback: callback && {
      ...callback,
      ...(callback.kwargs && { kwargs: ordered(callback.kwargs) }),
      ...(callback.headers && { headers: ordered(callback.headers) }),
    },
  }
  return createHash('sha256').update(stringify(whole)).digest('hex')
}

function ordered(json: RawJson): RawJson {
  return new RawJson(canonical(json.text))
}

/** The content as it is stored and compared: every default filled in, the percentage as a count. */
function withDefaults(body: z.output<typeof Enqueue>, totalLimit: number) {
  const { callback, tolerated_failure_percentage: percentage, ...rest } = body
  const { total } = body
  if (total > totalLimit) {
    const message = `has to be at most ${totalLimit}, got ${total}; ROLLCALL_TOTAL_LIMIT sets the limit`
    throw new Refusal('invalid_request', {
      detail: `total ${message}.`,
      errors: [{ path: 'total', message }],
    })
  }
  const tolerated_failure_count =
    percentage === undefined
      ? (body.tolerated_failure_count ?? 0)
      : Math.floor((total * percentage) / 100)
  if (!callback) return { ...rest, tolerated_failure_count, callback }
  const { events = ['completed'], priority = 5, ...wish } = callback
  return {
    ...rest,
    tolerated_failure_count,
    callback: { ...wish, events: events.toSorted(), priority },
  }
}
