import { z } from 'zod'
import { CallbackWish } from '../callbacks/wish.ts'
import { Generation, Int32 } from '../fields.ts'
import { never } from '../never.ts'
import { CallersJson } from '../text.ts'

const seconds = z.int().min(1).max(2_592_000)

export const Enqueue = z
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
