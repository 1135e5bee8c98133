import type { Attempt } from './inbox.ts'
import type { Delivery, Message } from './queue.ts'

/** Messages of the producer to the demo, which plays the queue. */
export type FromProducer =
  { type: 'enqueued'; generation: number; batches: number } | { type: 'publish'; message: Message }

export type ToWorker = ({ type: 'delivery' } & Delivery<Message>) | { type: 'continue' }

/** Messages of a worker: its calls to the queue, and the replies that it got. */
export type FromWorker =
  | { type: 'ready' }
  | { type: 'claim'; batch_index: number; claimed: boolean; settled: boolean; attempt: number }
  | { type: 'halfway'; batch_index: number }
  | { type: 'heartbeat' }
  | { type: 'decrement'; batch_index: number; outcome: string; settled: boolean }
  | { type: 'acknowledge'; delivery: number }
  | { type: 'give_back'; delivery: number; after_seconds: number }

/** Messages of the receiver of the callback; the first one names its URL. */
export type FromReceiver =
  { type: 'listening'; url: string } | { type: 'attempt'; attempt: Attempt; body: string }

/** Sends a message from the producer, a worker or the receiver to the demo that started this process. */
export function send(message: FromProducer | FromWorker | FromReceiver): Promise<void> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined) reject(new Error('This process is started by the demo.'))
    else process.send(message, undefined, undefined, error => (error ? reject(error) : resolve()))
  })
}

/** Ctrl-C reaches every process of the terminal, but only the demo acts on it and ends its processes. They also end if it dies. */
export function liveWithTheDemo(): void {
  process.on('SIGINT', () => undefined)
  process.once('disconnect', () => process.exit())
}

export function fail(error: unknown): never {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
