import { EventEmitter, once } from 'node:events'
import { fail, liveWithTheDemo, send, type ToWorker } from './channel.ts'
import { combine, sumFiles, type BatchSum } from './checksum.ts'
import type { Delivery, Message } from './queue.ts'
import { Rollcall } from './rollcall.ts'

const LEASE_SECONDS = 5
const HEARTBEAT_MS = 1_500
const GIVE_BACK_SECONDS = 1

const [url = '', owner = ''] = process.argv.slice(2)
const rollcall = new Rollcall(url)
const queue = new EventEmitter()

/** A worker need know only this: if `claimed`, work now; if `settled`, acknowledge; if neither, give the message back. */
async function receive({ delivery, message }: Delivery<Message>): Promise<void> {
  const claim = await rollcall.claim(message, { lease_seconds: LEASE_SECONDS, owner })
  const { claimed, settled, token = '', attempt = 0, retry_after_seconds } = claim
  const { batch_index } = message
  await send({ type: 'claim', batch_index, claimed, settled, attempt })

  const isOver = claimed ? await work(message, token) : settled
  const after_seconds = retry_after_seconds ?? GIVE_BACK_SECONDS
  if (isOver) await send({ type: 'acknowledge', delivery })
  else await send({ type: 'give_back', delivery, after_seconds })
}

async function work(message: Message, token: string): Promise<boolean> {
  const { batch_index } = message
  const heartbeats = setInterval(() => {
    beat(message, token).catch(fail)
  }, HEARTBEAT_MS)
  const result = await sum(message).finally(() => clearInterval(heartbeats))
  const { outcome, settled } = await rollcall.decrement(message, { token, result })
  await send({ type: 'decrement', batch_index, outcome, settled })
  return settled
}

/** A refused heartbeat could end the work early. Here the work goes on, and its decrement is fenced. */
async function beat(message: Message, token: string): Promise<void> {
  if (await rollcall.heartbeat(message, token)) await send({ type: 'heartbeat' })
}

/** Half-way through each batch the worker waits for the demo's nod. Here the demo kills or pauses it, without a timer. */
async function sum({ batch_index, folder, files }: Message): Promise<BatchSum> {
  const middle = Math.ceil(files.length / 2)
  const firstHalf = await sumFiles(folder, files.slice(0, middle))
  const nod = once(queue, 'continue')
  await send({ type: 'halfway', batch_index })
  await nod
  const secondHalf = await sumFiles(folder, files.slice(middle))
  return combine([...firstHalf, ...secondHalf])
}

liveWithTheDemo()
process.on('message', (message: ToWorker) => queue.emit(message.type, message))
queue.on('delivery', (delivery: Delivery<Message>) => {
  receive(delivery).catch(fail)
})
await send({ type: 'ready' })
