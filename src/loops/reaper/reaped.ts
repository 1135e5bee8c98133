import type { FastifyInstance } from 'fastify'

export type Parts = Pick<FastifyInstance, 'database' | 'ends' | 'log' | 'message'>

/** A barrier that a step closed or looked at: the members that the log may show. */
export interface Reaped {
  namespace: string
  execution_id: string
  generation: number
  state: string
  reason?: string
  callback_id?: string
}

export function announceClosed(
  { ends, log }: Parts,
  { namespace, execution_id, generation, callback_id, state, reason }: Reaped,
): void {
  ends.notify({ namespace, execution_id })
  log.info({ execution_id, generation, callback_id, state, reason }, 'The reaper closed a barrier.')
}
