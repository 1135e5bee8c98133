import { z } from 'zod'
import { execute, statement } from '../../database/statement.ts'
import { type RawJson, stringify } from '../../json.ts'
import { nonce } from '../batches/batch.ts'
import { Int32, Moment, type Routes } from '../execution.ts'
import { bodyRefusals, refusedWith } from '../problem.ts'
import { repliedWith } from '../reply.ts'
import { Attempt, CallbackToken, Message, Queue } from './callback.ts'

/** The most that a reply carries, but for a single message that is larger. */
const REPLY_BYTES = 8 * 1024 * 1024

const schema = {
  summary: 'Pull callbacks from a queue',
  operationId: 'claimCallbacks',
  tags: ['callbacks'],
  body: z.strictObject({
    queue: Queue.describe('The queue that enqueue named.'),
    limit: z
      .int()
      .min(1)
      .max(100)
      .default(1)
      .meta({ format: 'int32', description: 'The most callbacks; 8 MiB in all.' }),
    lease_seconds: z.int().min(5).max(3600).default(60).meta({
      format: 'int32',
      description: 'How long each is yours; then it is due again.',
    }),
    wait_seconds: z
      .int()
      .min(0)
      .max(50)
      .default(0)
      .meta({ format: 'int32', description: 'How long to wait for the first one.' }),
  }),
  response: {
    200: repliedWith(
      'What is leased now: the highest priority first, then the longest due.',
      z.object({
        callbacks: z.array(
          z.object({
            execution_id: z.string(),
            generation: Int32,
            callback_id: z.string().describe('The same on every attempt.'),
            token: CallbackToken,
            attempt: Attempt,
            lease_expires_at: Moment,
            message: Message,
          }),
        ),
      }),
    ),
    ...refusedWith(...bodyRefusals),
  },
}

interface Leased {
  execution_id: string
  message: RawJson
}

const sql = statement('claim.sql', import.meta.url)

export const claimCallbacks: Routes = async app => {
  app.post('/callbacks/claim', { schema }, async (request, reply) => {
    const { namespace, body } = request
    const { queue, limit: most, lease_seconds, wait_seconds } = body
    const lease = () => {
      const asked = { namespace, queue, most, lease_seconds, reply_bytes: REPLY_BYTES }
      const values = [stringify([{ ...asked, ...app.message, nonce: nonce() }])]
      // A lease whose reply was lost ends by itself, and so does one that a broken connection hid from us.
      return execute<Leased>(app.database, sql, values, { once: true })
    }

    const deadline = Date.now() + wait_seconds * 1000
    const waiter = app.pulls.expect({ namespace, queue })
    reply.raw.once('close', waiter.leave)
    let callbacks = await lease()
    while (callbacks.length === 0 && wait_seconds > 0) {
      if (!(await waiter.stirred({ namespace, queue }, deadline))) break
      callbacks = await lease()
    }
    waiter.leave()
    return { callbacks }
  })
}
