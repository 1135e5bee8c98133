import { z } from 'zod'
import { Attempt, BatchState, Int32, Moment, Status } from '../fields.ts'
import { never } from '../never.ts'
import { PathIndex } from '../parameters.ts'
import { CallersJson, ExecutionId, Text } from '../text.ts'

export const BatchParams = z.strictObject({ execution_id: ExecutionId, batch_index: PathIndex })

export const BatchesParams = z.strictObject({ execution_id: ExecutionId })

export const LeaseSeconds = z
  .int()
  .min(5)
  .max(86_400)
  .meta({ format: 'int32', description: 'How many seconds the claim lasts without a heartbeat.' })

export const Owner = Text.max(255).describe(
  'The name of the worker that claims, for people to read.',
)

/** The outcome that a worker reports: a success may have a result, a failure may have an error. */
export const outcomeFields = {
  status: Status.optional().describe('succeeded when left out.'),
  result: CallersJson.optional().describe(
    'Only for a success: any JSON without NUL and lone surrogates, kept digit by digit; at most 256 KiB by default settings.',
  ),
  error: CallersJson.optional().describe(
    'Only for a failure, the reason: any JSON without NUL and lone surrogates, at most 16 KiB by default settings.',
  ),
}

/** A zod `superRefine` that refuses a member which does not go with the status. */
export function resultOrError(
  outcome: { status?: 'succeeded' | 'failed' | undefined; result?: unknown; error?: unknown },
  context: z.RefinementCtx,
): void {
  const wrong = outcome.status === 'failed' ? 'result' : 'error'
  if (outcome[wrong] === undefined) return
  const message = `has to be left out when status is ${outcome.status ?? 'succeeded'}`
  context.addIssue({ code: 'custom', path: [wrong], message })
}

/** The same rule, for `meta`. */
export const resultOrErrorOnly = never(
  { required: ['error'], properties: { status: { enum: ['succeeded'] } } },
  { required: ['status', 'result'], properties: { status: { enum: ['failed'] } } },
)

export const Batch = z
  .object({
    batch_index: Int32,
    generation: Int32.describe('0 without a barrier.'),
    state: BatchState,
    attempt: Attempt,
    owner: z.string().nullable(),
    claimed_at: Moment.nullable(),
    lease_expires_at: Moment.nullable(),
    recorded_at: Moment.nullable(),
    result: z.unknown().describe('The result of a success; any JSON.'),
    error: z.unknown().describe('The error of a failure; any JSON.'),
  })
  .meta({ id: 'Batch', description: 'One member of an execution.' })
