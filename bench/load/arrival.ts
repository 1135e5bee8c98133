import { Connection } from './connection.ts'

/** The queue from which a run's callback is pulled; no other caller waits there. */
export const queueOf = (execution: string): string => `bench-${execution}`

/** Resolves when a long poll has pulled the run's callback, with its message, from its queue. */
export async function arrivalOf(origin: string, execution: string): Promise<void> {
  const connection = await Connection.open(origin)
  const asked = JSON.stringify({ queue: queueOf(execution), wait_seconds: 50 })
  try {
    for (;;) {
      const { status, body } = await connection.ask('POST', '/callbacks/claim', asked)
      if (status !== 200) throw new Error(`The callback cannot be pulled: ${body}`)
      if (body.includes('"type":"barrier.completed"')) return
      if (body !== '{"callbacks":[]}') throw new Error(`The run did not complete: ${body}`)
    }
  } finally {
    connection.close()
  }
}
