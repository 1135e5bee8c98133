import { z } from 'zod'
import type { RefusalCode } from '../refusals.ts'
import { Attempt, BarrierState, CallbackState, Int32, Status } from './fields.ts'

const FieldErrors = z
  .array(
    z.object({
      path: z.string().describe('The path of the member, with dots between its steps.'),
      message: z.string().describe('The rule that it breaks.'),
    }),
  )
  .describe('Each member that breaks a rule.')

/** The facts that a worker or receiver needs to go on, as far as the refusal knows them. */
const truth = z
  .object({
    batch_index: Int32,
    batch_status: Status.describe(
      'The recorded status of the batch; `status` is the status of the reply.',
    ),
    same: z.boolean().describe('Whether the call carried the recorded outcome.'),
    attempt: Attempt,
    generation: Int32.describe('The current generation; 0 without a barrier.'),
    state: BarrierState.describe('The state of the barrier.'),
    reason: z.string().nullable().describe('The reason why the barrier ended early.'),
    total: Int32.nullable(),
    succeeded: Int32,
    failed: Int32,
    remaining: Int32,
    callback_state: CallbackState,
    settled: z
      .boolean()
      .describe('Whether to acknowledge the message although the call was refused.'),
  })
  .partial().shape

function membersOf(status: number) {
  if (status === 404 || status === 409 || status === 410) return truth
  if (status === 422) return { errors: FieldErrors.optional(), ...truth }
  if (status === 400) return { errors: FieldErrors }
  if (status === 413) return { errors: FieldErrors.optional() }
  if (status < 500) return {}
  const effect = z.enum(['none', 'unknown']).describe('Whether the call may have had an effect.')
  if (status === 503) return { effect }
  return { effect, request_id: z.string().describe('The log shows the cause under this id.') }
}

export function problemOf(status: number, codes: RefusalCode[]) {
  return z.looseObject({
    type: z.string().meta({ format: 'uri', description: 'A URN that names the code.' }),
    title: z.string().describe('The sentence of the code.'),
    status: z.literal(status).meta({ type: 'integer', format: 'int32' }),
    detail: z.string().describe('The fault of this request, and what to do about it.'),
    code: z.enum(codes),
    ...membersOf(status),
  })
}
