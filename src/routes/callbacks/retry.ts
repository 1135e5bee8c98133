import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import { RawJson } from '../../json/raw.ts'
import { NO_NUL } from '../text.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { Callback, CallbackParams, CallbackToken } from './callback.ts'
import { type CallbackAnswer, replyOf } from './answer.ts'

const schema = {
  summary: 'Give a pulled callback back, due again after a delay',
  operationId: 'retryCallback',
  tags: ['callbacks'],
  params: CallbackParams,
  body: z.strictObject({
    token: CallbackToken,
    delay_seconds: z
      .int()
      .min(0)
      .max(86_400)
      .default(0)
      .meta({ format: 'int32', description: 'After how many seconds it is due again.' }),
    error: z
      // The body reader keeps every member of this name as raw text, because elsewhere it is any JSON.
      .preprocess(
        error => (error instanceof RawJson ? (JSON.parse(error.text) as unknown) : error),
        z.string().min(1).max(1000),
      )
      .optional()
      .meta({ description: 'The reason, for people who read the attempts.', pattern: NO_NUL }),
  }),
  response: {
    200: repliedWith('The callback is due again, by this call or by an earlier one.', Callback),
    ...refusedWith(
      'execution_not_found',
      'callback_not_found',
      'stale_token',
      'stale_generation',
      ...bodyRefusals,
    ),
  },
}

const sql = statement('retry.sql', import.meta.url, { locksBarrier: true })

export const retryCallback: Routes = async app => {
  app.post('/executions/:execution_id/callback/retry', { schema }, async request => {
    const { namespace, params, body } = request
    const ask = { namespace, ...params, ...body }
    const reply = replyOf(
      request,
      await app.ask<CallbackAnswer>(sql, ask),
      'A callback was given back; it is due again.',
    )
    app.ends.notify({ namespace, ...params })
    return reply
  })
}
