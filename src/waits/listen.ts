import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { Client, type ClientConfig, escapeIdentifier } from 'pg'

const GOODBYE_MS = 1000
/** For a server that hangs, so that the loop goes on, and can end. */
const PATIENCE_MS = 5000

/**
 * Hears NOTIFY on `channel` until `signal` aborts, over a connection of its own that is made again when it is lost. A notice is
 * only a hint: none arrives while the connection is away, nor ever through a transaction pooler.
 */
export async function listen(
  connection: ClientConfig,
  channel: string,
  hear: (payload: string) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await hearUntilLost(connection, channel, hear, signal).catch(() => undefined)
    await pause(1000, undefined, { signal }).catch(() => undefined)
  }
}

async function hearUntilLost(
  connection: ClientConfig,
  channel: string,
  hear: (payload: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const client = new Client({
    ...connection,
    keepAlive: true,
    connectionTimeoutMillis: PATIENCE_MS,
    query_timeout: PATIENCE_MS,
  })
  const over = new AbortController()
  const end = () => over.abort()
  client.on('error', end)
  client.on('end', end)
  client.on('notification', ({ payload }) => hear(payload ?? ''))
  // Not AbortSignal.any: `signal` lives as long as the process, and would keep something of each connection.
  signal.addEventListener('abort', end)
  try {
    await client.connect()
    await client.query(`listen ${escapeIdentifier(channel)}`)
    if (!over.signal.aborted && !signal.aborted) await once(over.signal, 'abort')
  } finally {
    signal.removeEventListener('abort', end)
    // A server that hangs answers no goodbye.
    await Promise.race([client.end(), pause(GOODBYE_MS, undefined, { ref: false })])
  }
}
