import { z } from 'zod'
import { CallbackWish } from '../callbacks/wish.ts'
import { Generation, Int32 } from '../fields.ts'
import { never } from '../never.ts'
import { CallersJson } from '../text.ts'

const seconds = z.int().min(1).max(2_592_000)

export const Enqueue = z
  .strictObject({
    total: z.int().min(0).max(10_000_000).meta({
      format: 'int32',
      description: 'How many batches there are; at most 1,000,000 by default settings.',
    }),
    callback: CallbackWish.optional(),
    expires_in_seconds: seconds.default(21_600).meta({
      format: 'int32',
      description: 'After how many seconds the barrier closes as expired.',
    }),
    stuck_after_seconds: seconds.default(9_000).meta({
      format: 'int32',
      description: 'After how many seconds without any progress the barrier closes as expired.',
    }),
    tolerated_failure_count: Int32.optional().describe(
      'How many batches may fail; 0 when left out.',
    ),
    tolerated_failure_percentage: z.int().min(0).max(100).optional().meta({
      format: 'int32',
      description:
        'The same as a percentage of total, rounded down; not together with tolerated_failure_count.',
    }),
    max_attempts: z.int().min(1).max(1_000_000).optional().meta({
      format: 'int32',
      description:
        'How many times one batch may be granted. After the last lease and a grace time the batch is recorded as failed.',
    }),
    metadata: CallersJson.optional().describe(
      'Any JSON without NUL and lone surrogates, at most 64 KiB, which the callback carries.',
    ),
    conflict_policy: z
      .enum(['use_existing', 'fail', 'replace'])
      .default('use_existing')
      .describe('What happens if the execution already has a barrier.'),
    generation: Generation.optional().describe(
      'Only with replace: the one generation that the call may replace.',
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
