import { z } from 'zod'
import type { RawJson } from '../../json/raw.ts'
import { Refusal, type RefusalMembers } from '../../refusals.ts'
import { nonce } from '../../database/nonce.ts'
import { statement } from '../../database/statement.ts'
import { Generation, Int32, Moment, RetryAfter } from '../fields.ts'
import { IdempotencyKey } from '../text.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { Attempt, Status, Token } from '../fields.ts'
import { BatchesParams, BatchParams, LeaseSeconds, Owner } from './batch.ts'

/** The longest result that a reply to a claim carries. */
const INLINE_BYTES = 16 * 1024

const claimed = (now: boolean) => z.literal(now).describe('Whether to work now.')
const settled = (over: boolean) => z.literal(over).describe('Whether to acknowledge the message.')
const subject = { batch_index: Int32, generation: Int32 }
const held = { attempt: Attempt, lease_expires_at: Moment.nullable() }

const outcomes = [
  z
    .object({
      outcome: z.literal('granted'),
      claimed: claimed(true),
      settled: settled(false),
      ...subject,
      ...held,
      token: Token,
      replayed: z
        .literal(true)
        .optional()
        .describe('Granted before, to the call of this Idempotency-Key.'),
    })
    .meta({ id: 'GrantedClaim', description: 'Work now.' }),
  z
    .object({
      outcome: z.literal('in_progress'),
      claimed: claimed(false),
      settled: settled(false),
      ...subject,
      ...held,
      owner: z.string().nullable(),
      retry_after_seconds: RetryAfter.optional().describe('When the lease ends, if it has one.'),
    })
    .meta({ id: 'ClaimInProgress', description: 'Somebody else works. Give the message back.' }),
  z
    .object({
      outcome: z.literal('finished'),
      claimed: claimed(false),
      settled: settled(true),
      ...subject,
      status: Status,
      result: z.unknown().optional(),
      error: z.unknown().optional(),
      result_omitted: z.literal(true).optional().describe('Read it with GET of the batch.'),
    })
    .meta({ id: 'FinishedClaim', description: 'Done before. Acknowledge the message.' }),
  z
    .object({
      outcome: z.literal('closed'),
      claimed: claimed(false),
      settled: settled(true),
      ...subject,
      state: z.enum(['completed', 'aborted', 'expired', 'replaced']),
      reason: z.string().nullable(),
    })
    .meta({ id: 'ClosedClaim', description: 'The run is over. Acknowledge the message.' }),
  z
    .object({
      outcome: z.literal('exhausted'),
      claimed: claimed(false),
      settled: settled(true),
      ...subject,
      attempt: Attempt,
    })
    .meta({
      id: 'ExhaustedClaim',
      description:
        'Out of attempts. Acknowledge the message. The holder of the last one may record an outcome until the grace time after its lease is over.',
    }),
] as const

const Claim = z.discriminatedUnion('outcome', outcomes).meta({
  id: 'Claim',
  description: 'claimed: work now. settled: acknowledge the message. Neither: give it back.',
})

const RefusedClaim = z
  .object({
    outcome: z.literal('refused'),
    claimed: z.literal(false),
    settled: z.literal(false),
    ...subject,
    code: z.enum(['batch_out_of_range', 'execution_not_found']),
    total: Int32.optional(),
  })
  .meta({ id: 'RefusedClaim', description: 'A member that alone would be refused with this code.' })

const claimFields = {
  lease_seconds: LeaseSeconds.optional(),
  owner: Owner.optional(),
  generation: Generation.optional(),
}

const schema = {
  summary: 'Claim a batch',
  operationId: 'claimBatch',
  tags: ['batches'],
  params: BatchParams,
  headers: IdempotencyKey,
  body: z.strictObject(claimFields),
  response: {
    200: repliedWith('What to do with the message.', Claim, {
      'Retry-After': RetryAfter.optional().describe(
        'Of in_progress: seconds until the lease ends.',
      ),
    }),
    ...refusedWith('execution_not_found', 'batch_out_of_range', ...bodyRefusals),
  },
}

const manySchema = {
  summary: 'Claim up to 1,000 batches',
  operationId: 'claimBatches',
  tags: ['batches'],
  params: BatchesParams,
  headers: IdempotencyKey,
  body: z.strictObject({
    batch_indexes: z
      .array(Int32)
      .min(1)
      .max(1000)
      .refine(indexes => new Set(indexes).size === indexes.length, 'has to hold different indexes')
      .meta({ uniqueItems: true }),
    ...claimFields,
  }),
  response: {
    200: repliedWith(
      'One for each index, in the order asked.',
      z.object({ claims: z.array(z.discriminatedUnion('outcome', [...outcomes, RefusedClaim])) }),
    ),
    ...refusedWith(...bodyRefusals),
  },
}

interface Answer {
  outcome: string
  reply: RawJson
  retry_after_seconds?: number
}

const sql = statement('claim.sql', import.meta.url)

export const claim: Routes = async app => {
  const run = app.coalesce<Answer>(sql)

  app.post(
    '/executions/:execution_id/batches/:batch_index/claim',
    { schema },
    async (request, reply) => {
      const { namespace, params, body, headers } = request
      const claim_key = headers['idempotency-key']
      const [answer] = await run([
        { namespace, ...params, ...body, nonce: nonce(), claim_key, inline_bytes: INLINE_BYTES },
      ])
      const { outcome, retry_after_seconds } = answer
      if (outcome === 'batch_out_of_range' || outcome === 'execution_not_found') {
        throw new Refusal(outcome, truthOf(answer.reply))
      }
      if (retry_after_seconds !== undefined) reply.header('retry-after', retry_after_seconds)
      return answer.reply
    },
  )
}

export const claimMany: Routes = async app => {
  const run = app.coalesce<Answer>(sql)

  app.post(
    '/executions/:execution_id/batches/claim',
    { schema: manySchema, bodyLimit: app.limits.bulkBytes },
    async request => {
      const { namespace, params, body, headers } = request
      const { batch_indexes, ...shared } = body
      const ask = {
        namespace,
        ...params,
        ...shared,
        claim_key: headers['idempotency-key'],
        inline_bytes: 0,
      }
      const answers = await run(
        batch_indexes.map(batch_index => ({ ...ask, batch_index, nonce: nonce() })),
      )
      return { claims: answers.map(claimOrRefusal) }
    },
  )
}

function claimOrRefusal({ outcome, reply }: Answer): unknown {
  if (outcome !== 'batch_out_of_range' && outcome !== 'execution_not_found') return reply
  return { outcome: 'refused', claimed: false, settled: false, code: outcome, ...truthOf(reply) }
}

/** Without a barrier there is no total. */
function truthOf({ text }: RawJson): RefusalMembers {
  const { total, ...truth } = JSON.parse(text) as { total: number | null }
  return total === null ? truth : { ...truth, total }
}
