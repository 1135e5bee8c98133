import { z } from 'zod'
import { Int32, Moment } from '../fields.ts'
import { CallbackAttempt, CallbackToken } from './callback.ts'
import { Message } from './message.ts'

export const PulledCallback = z.object({
  execution_id: z.string(),
  generation: Int32,
  callback_id: z.string().describe('The id is the same on every attempt.'),
  token: CallbackToken,
  attempt: CallbackAttempt,
  lease_expires_at: Moment,
  message: Message,
})
