import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readConfig } from '../src/config.ts'
import { fail, liveWithTheDemo, send } from './channel.ts'
import { CALLBACK_PATH, inbox } from './inbox.ts'

/** The team's own endpoint. It is no worker, and of Rollcall it knows only the secret. */
async function receive(): Promise<void> {
  const { ROLLCALL_WEBHOOK_SECRET: secrets } = readConfig()
  const server = createServer(
    inbox(secrets, (attempt, body) => send({ type: 'attempt', attempt, body })),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await send({ type: 'listening', url: `http://127.0.0.1:${port}${CALLBACK_PATH}` })
}

liveWithTheDemo()
await receive().catch(fail)
