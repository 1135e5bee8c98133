import { z } from 'zod'
import { statement } from '../../database/statement.ts'
import type { RawJson } from '../../json/raw.ts'
import { MOST_WAIT_SECONDS } from '../parameters.ts'
import type { Routes } from '../plugin.ts'
import { bodyRefusals, refusedWith } from '../refused.ts'
import { repliedWith } from '../reply.ts'
import { PulledCallback } from './claim-reply.ts'
import { Queue } from './wish.ts'

/** The most bytes of messages in one reply, but the first message is always in it. */
export const REPLY_BYTES = 8 * 1024 * 1024

export const MOST_PULLED = 100

const schema = {
  summary: 'Pull callbacks from a queue, or wait for one',
  operationId: 'claimCallbacks',
  tags: ['callbacks'],
  body: z.strictObject({
    queue: Queue.describe('The queue that the callbacks name, 1 to 255 bytes.'),
    limit: z.int().min(1).max(MOST_PULLED).default(1).meta({
      format: 'int32',
      description: 'The most callbacks to lease; a reply holds at most 8 MiB of them, or one.',
    }),
    lease_seconds: z.int().min(5).max(3600).default(60).meta({
      format: 'int32',
      description: 'After how many seconds each is due again, unless acknowledged.',
    }),
    wait_seconds: z
      .int()
      .min(0)
      .max(MOST_WAIT_SECONDS)
      .default(0)
      .meta({ format: 'int32', description: 'How many seconds to wait while none is due.' }),
  }),
  response: {
    200: repliedWith(
      'The leased callbacks: highest priority first, then longest due; none if none was due in time.',
      z.object({
        callbacks: z.array(PulledCallback),
      }),
    ),
    ...refusedWith(...bodyRefusals),
  },
}

interface Answer {
  callbacks: RawJson
  taken: number
  more: boolean
}

// A repeat after a lost connection could not find the callbacks that it leased; such a lease ends by itself.
const sql = statement('claim.sql', import.meta.url, { repeatable: false })

export const claimCallbacks: Routes = async app => {
  app.post('/callbacks/claim', { schema }, async (request, reply) => {
    const { namespace, body } = request
    const { queue, limit: most, lease_seconds, wait_seconds } = body
    const ask = { namespace, queue, most, lease_seconds, ...app.message, reply_bytes: REPLY_BYTES }
    const waiter = app.queues.wait({ namespace, queue })
    reply.onGone(waiter.leave)
    const deadline = performance.now() + wait_seconds * 1000
    try {
      let answer: Answer
      do answer = await app.ask<Answer>(sql, ask)
      while (answer.taken === 0 && (await waiter.woken(deadline)))
      if (answer.more) app.queues.wake({ namespace, queue }, 1)
      return { callbacks: answer.callbacks }
    } finally {
      waiter.leave()
    }
  })
}
