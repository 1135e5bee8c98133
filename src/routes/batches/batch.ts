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
  .meta({ format: 'int32', description: 'How long the claim holds without a heartbeat.' })

export const Owner = Text.max(255).describe('Who claims, for people to read.')

/** What a worker says of its batch; a result belongs to a success, an error to a failure. */
export const outcomeFields = {
  status: Status.optional().describe('succeeded when left out.'),
  result: CallersJson.optional().describe(
    'Of a success: any JSON without NUL and lone surrogates, kept digit by digit; to 256 KiB by default settings.',
  ),
  error: CallersJson.optional().describe(
    'Of a failure, why it failed: any JSON without NUL and lone surrogates, to 16 KiB by default settings.',
  ),
}

/** For a zod `superRefine`: the member that does not go with the status. */
export function resultOrError(
  outcome: { status?: 'succeeded' | 'failed' | undefined; result?: unknown; error?: unknown },
  context: z.RefinementCtx,
): void {
  const wrong = outcome.status === 'failed' ? 'result' : 'error'
  if (outcome[wrong] === undefined) return
  const message = `has to be left out when status is ${outcome.status ?? 'succeeded'}`
  context.addIssue({ code: 'custom', path: [wrong], message })
}

/** The same for `meta`. */
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
    result: z.unknown().describe('What it succeeded with; any JSON.'),
    error: z.unknown().describe('What it failed with; any JSON.'),
  })
  .meta({ id: 'Batch', description: 'One member of an execution.' })
