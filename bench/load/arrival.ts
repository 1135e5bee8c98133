import { Connection } from './connection.ts'

/**
 * Resolves when the run is known to be over. Waits on the barrier, as long as there is no delivery of callbacks in this
 * tree; with it, this is the place to receive the webhook or to claim the callback instead.
 */
export async function arrivalOf(origin: string, execution: string): Promise<void> {
  const connection = await Connection.open(origin)
  try {
    for (;;) {
      const { body } = await connection.ask(
        'GET',
        `/executions/${execution}/barrier?wait_seconds=50`,
      )
      const state = /"state":"(\w+)"/.exec(body)?.[1]
      if (state === 'completed') return
      if (state !== 'open') throw new Error(`The run did not complete: ${body}`)
    }
  } finally {
    connection.close()
  }
}
