import { z } from 'zod'
import { nonce } from '../../database/nonce.ts'
import { Int32 } from '../fields.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { IdempotencyKey } from '../text.ts'
import { BatchesParams } from './batch.ts'
import { outcomes, subject } from './claim-reply.ts'
import { type Answer, claimFields, sql, truthOf } from './claim.ts'

const RefusedClaim = z
  .object({
    outcome: z.literal('refused'),
    claimed: z.literal(false),
    settled: z.literal(false),
    ...subject,
    code: z.enum(['batch_out_of_range', 'execution_not_found']),
    total: Int32.optional(),
  })
  .meta({
    id: 'RefusedClaim',
    description: 'This member, as a call of its own, would be refused with this code.',
  })

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
      'One claim for each index, in the order asked.',
      z.object({ claims: z.array(z.discriminatedUnion('outcome', [...outcomes, RefusedClaim])) }),
    ),
    ...refusedWith(...bodyRefusals),
  },
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
