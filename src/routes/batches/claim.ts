import { z } from 'zod'
import { nonce } from '../../database/nonce.ts'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { Refusal, type RefusalMembers } from '../../refusals.ts'
import { Generation, RetryAfter } from '../fields.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { IdempotencyKey } from '../text.ts'
import { BatchParams, LeaseSeconds, Owner } from './batch.ts'
import { outcomes } from './claim-reply.ts'

/** The longest result that a reply to a claim carries. */
const INLINE_BYTES = 16 * 1024

const Claim = z.discriminatedUnion('outcome', outcomes).meta({
  id: 'Claim',
  description:
    'If claimed, work now. If settled, acknowledge the message. If neither, give it back.',
})

export const claimFields = {
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
        'Only with in_progress: seconds until the lease ends.',
      ),
    }),
    ...refusedWith('execution_not_found', 'batch_out_of_range', ...bodyRefusals),
  },
}

export interface Answer {
  outcome: string
  reply: RawJson
  retry_after_seconds?: number
}

export const sql = statement('claim.sql', import.meta.url)

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

/** An execution without a barrier has no total. */
export function truthOf({ text }: RawJson): RefusalMembers {
  const { total, ...truth } = JSON.parse(text) as { total: number | null }
  return total === null ? truth : { ...truth, total }
}
