import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import { Moment, Token } from '../fields.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { BatchParams, LeaseSeconds } from './batch.ts'

const schema = {
  summary: 'Extend a lease',
  operationId: 'heartbeatBatch',
  tags: ['batches'],
  params: BatchParams,
  body: z.strictObject({ token: Token, lease_seconds: LeaseSeconds.optional() }),
  response: {
    200: repliedWith(
      'The lease is extended.',
      z.object({
        lease_expires_at: Moment.nullable().describe('When the lease ends; null without a lease.'),
      }),
    ),
    ...refusedWith(
      'batch_not_found',
      'stale_token',
      'stale_generation',
      'barrier_closed',
      ...bodyRefusals,
    ),
  },
}

interface Answer {
  outcome: 'extended' | RefusalCode
  lease_expires_at: string | null
}

export const heartbeat: Routes = async app => {
  const run = app.coalesce<Answer>(statement('heartbeat.sql', import.meta.url))

  app.post(
    '/executions/:execution_id/batches/:batch_index/heartbeat',
    { schema },
    async request => {
      const { namespace, params, body } = request
      const [{ outcome, lease_expires_at, ...truth }] = await run([
        { namespace, ...params, ...body },
      ])
      if (outcome !== 'extended') throw new Refusal(outcome, truth)
      return { lease_expires_at }
    },
  )
}
