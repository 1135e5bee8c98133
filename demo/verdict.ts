import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod'
import type { Attempt } from './inbox.ts'
import type { Barrier, RecordedBatch } from './rollcall.ts'

const Message = z.object({
  type: z.string(),
  data: z.object({
    execution_id: z.string(),
    generation: z.int(),
    state: z.string(),
    total: z.int(),
    succeeded: z.int(),
    failed: z.int(),
    task_name: z.string(),
    /** Absent when they are too large to be sent along. */
    results: z
      .array(z.object({ batch_index: z.int(), status: z.string(), result: z.unknown() }))
      .optional(),
    results_url: z.string(),
  }),
})

interface Truth {
  barrier: Barrier
  task_name: string
  /** The batches that the pages of the barrier gave. */
  batches: RecordedBatch[]
}

/** The faults of the callback's arrival, a sentence each. It must have one id, the same bytes and a valid signature. */
export function attemptFaults(attempts: Attempt[], origin: string): string[] {
  const ids = [...new Set(attempts.map(({ webhook_id }) => webhook_id))]
  const bodies = new Set(attempts.map(({ sha256 }) => sha256)).size
  const wrong = attempts.filter(({ signature }) => signature === 'wrong').length
  const count = attempts.length
  return [
    ...(ids.length === 1
      ? []
      : [`The ${count} attempts have ${ids.length} ids: ${ids.join(', ')}.`]),
    ...(ids.includes('') ? ['An attempt has no webhook-id.'] : []),
    ...(bodies === 1 ? [] : [`The ${count} attempts have ${bodies} different bodies.`]),
    ...(wrong === 0
      ? []
      : [`The signature of ${wrong} of ${count} attempts is wrong for the secret, ${origin}.`]),
  ]
}

/** The faults of the callback's message. `follow` reads the pages of its results_url. */
export async function messageFaults(
  body: string,
  { barrier, task_name, batches }: Truth,
  follow: (results_url: string) => Promise<RecordedBatch[]>,
): Promise<string[]> {
  const parsed = Message.safeParse(json(body))
  if (!parsed.success) return [`The message is none: ${z.prettifyError(parsed.error)}`]
  const { type, data } = parsed.data
  const { results, results_url, ...told } = data
  const { execution_id, generation, state, total, succeeded, failed } = barrier
  const expected = { execution_id, generation, state, total, succeeded, failed, task_name }

  const sent = results?.map(({ status, ...batch }) => ({ ...batch, state: status }))
  const found = sent ?? (await follow(results_url))
  const where = sent ? 'in the message' : `at ${results_url}`
  return [
    ...(type === 'barrier.completed' ? [] : [`The type is ${type} and not barrier.completed.`]),
    ...(isDeepStrictEqual(told, expected)
      ? []
      : [`The message says ${JSON.stringify(told)}, but it is ${JSON.stringify(expected)}.`]),
    ...(isDeepStrictEqual(found.map(bare), batches.map(bare))
      ? []
      : [`The results ${where} are not those of the barrier.`]),
  ]
}

function bare({ batch_index, state, result }: RecordedBatch): RecordedBatch {
  return { batch_index, state, result }
}

function json(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}
