import { EventEmitter } from 'node:events'
import type { FromProducer, FromWorker, ToWorker } from './channel.ts'
import { DemoFailure } from './failure.ts'
import type { Processes } from './processes.ts'
import type { Progress } from './progress.ts'
import { Queue, seededRandom, type Message } from './queue.ts'
import { isCounted, Tally } from './tally.ts'
import { Trouble, type Worker } from './trouble.ts'

const WORKERS = 4
const TICK_MS = 100
/** This is longer than the workers' lease, so a message comes again when its batch is free again. */
const VISIBILITY_MS = 6_000
const STALL_MS = 60_000

interface Setting {
  url: string
  execution_id: string
  folder: string
  callback_url: string
  seed: number
  processes: Processes
  progress: Progress
  /** Aborted with the reason when the run cannot end well. */
  stop: AbortController
}

/**
 * A producer, four workers, and the queue between them, which this process plays. `enqueued` comes with the generation
 * of the barrier. `drained` comes when every message is acknowledged and every living worker is idle.
 */
export class Run extends EventEmitter<{ enqueued: [generation: number]; drained: [] }> {
  readonly tally = new Tally()
  readonly queue: Queue<Message>
  readonly trouble: Trouble
  readonly #setting: Setting
  readonly #workers: Worker[]
  readonly #ticks: NodeJS.Timeout
  #expected: number | undefined
  #published = 0
  #lastLifeAt = performance.now()
  #isEnding = false

  constructor(setting: Setting) {
    super()
    const { url, execution_id, folder, callback_url, seed, processes, progress } = setting
    this.#setting = setting
    this.queue = new Queue({ random: seededRandom(seed), visibilityMs: VISIBILITY_MS })
    this.trouble = new Trouble(text => progress.note(text))
    this.#workers = Array.from({ length: WORKERS }, (_, index) => {
      const name = `worker ${index + 1}`
      return this.#hire({ name, process: processes.fork('worker', [url, name]), idle: false })
    })

    const producer = processes.fork('producer', [url, execution_id, folder, callback_url])
    producer.on('message', (said: FromProducer) => this.#hearProducer(said))
    producer.once('exit', code => {
      if (code !== 0) this.#fail('The producer ended before it had published all messages.')
    })
    this.#ticks = setInterval(() => this.#tick(), TICK_MS)
  }

  end(): void {
    this.#isEnding = true
    clearInterval(this.#ticks)
  }

  #hire(worker: Worker): Worker {
    const { process: child, name } = worker
    child.on('message', (said: FromWorker) => this.#hearWorker(worker, said))
    child.once('exit', (code, signal) => {
      this.queue.consumerDied(name)
      this.#workers.splice(this.#workers.indexOf(worker), 1)
      if (!this.trouble.killed(worker)) this.#fail(`${name} ended by itself (${signal ?? code}).`)
    })
    return worker
  }

  #hearProducer(said: FromProducer): void {
    this.#lastLifeAt = performance.now()
    if (said.type === 'publish') {
      this.#published += 1
      this.queue.publish(said.message)
    } else {
      this.#expected = said.batches
      this.tally.batches = said.batches
      this.emit('enqueued', said.generation)
    }
    this.#deliver()
  }

  #hearWorker(worker: Worker, said: FromWorker): void {
    const { queue, tally, trouble } = this
    const now = performance.now()
    tally.hear(said)
    if (said.type !== 'give_back' && said.type !== 'claim') this.#lastLifeAt = now
    switch (said.type) {
      case 'claim':
        if (said.claimed && said.attempt > 1) {
          trouble.takenOver(worker, said.batch_index, said.attempt)
        }
        return
      case 'halfway':
        trouble.strike(worker, said.batch_index)
        // A paused worker reads it when it is resumed.
        tell(worker, { type: 'continue' })
        return
      case 'decrement':
        if (isCounted(said.outcome)) trouble.recorded(said.batch_index)
        if (said.outcome === 'stale_token') trouble.fenced(worker, said.batch_index, said.settled)
        return
      case 'heartbeat':
        return
      case 'acknowledge':
        queue.acknowledge(said.delivery)
        break
      case 'give_back':
        queue.giveBack(said.delivery, now + said.after_seconds * 1_000)
        break
      case 'ready':
        break
    }
    worker.idle = true
    this.#deliver()
  }

  #deliver(): void {
    const now = performance.now()
    for (const worker of this.#workers.filter(({ idle }) => idle)) {
      const delivery = this.queue.receive(worker.name, now)
      if (delivery === undefined) break
      worker.idle = false
      tell(worker, { type: 'delivery', ...delivery })
    }
    const isPublished = this.#published === this.#expected
    const isIdle = this.#workers.every(({ idle }) => idle)
    if (isPublished && isIdle && this.queue.size === 0) this.emit('drained')
  }

  #tick(): void {
    this.#deliver()
    if (this.#expected === undefined) return
    const now = performance.now()
    this.#setting.progress.draw(this.tally.counts, now)
    if (now - this.#lastLifeAt > STALL_MS) this.#fail(`Nothing moved for ${STALL_MS / 1_000} s.`)
  }

  #fail(sentence: string): void {
    if (!this.#isEnding) this.#setting.stop.abort(new DemoFailure(sentence))
  }
}

function tell({ process: child }: Worker, message: ToWorker): void {
  if (child.connected) child.send(message)
}
