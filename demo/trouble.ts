import type { ChildProcess } from 'node:child_process'

const CAN_PAUSE = process.platform !== 'win32'

export interface Worker {
  name: string
  process: ChildProcess
  idle: boolean
}

interface Stopped {
  worker: Worker
  batch_index: number
}

/**
 * Makes trouble in every demo: the first worker that is half-way through a batch is killed. The next one is paused until
 * another worker has finished its batch.
 */
export class Trouble {
  readonly #note: (text: string) => void
  #killed: Stopped | undefined
  #paused: Stopped | undefined
  #hasPaused = false

  constructor(note: (text: string) => void) {
    this.#note = note
    if (CAN_PAUSE) return
    this.#hasPaused = true
    note('Windows has no SIGSTOP, so no worker is paused here.')
  }

  /** Whether the demo killed this worker on purpose. */
  killed(worker: Worker): boolean {
    return this.#killed?.worker === worker
  }

  /** Kills or pauses a worker that waits for its nod, and so cannot be past the batch. */
  strike(worker: Worker, batch_index: number): void {
    const where = `half-way through batch ${batch_index}`
    if (this.#killed === undefined) {
      this.#killed = { worker, batch_index }
      worker.process.kill('SIGKILL')
      this.#note(`${told(worker)} is killed with SIGKILL ${where}.`)
    } else if (!this.#hasPaused) {
      this.#hasPaused = true
      this.#paused = { worker, batch_index }
      worker.process.kill('SIGSTOP')
      this.#note(`${told(worker)} is paused with SIGSTOP ${where}.`)
    }
  }

  takenOver(worker: Worker, batch_index: number, attempt: number): void {
    this.#note(`${told(worker)} takes batch ${batch_index} over, attempt ${attempt}.`)
  }

  /** Called when a batch is recorded: a worker paused in it is resumed, and comes too late. */
  recorded(batch_index: number): void {
    if (this.#paused?.batch_index === batch_index) this.resume()
  }

  resume(): void {
    if (this.#paused === undefined) return
    const { worker, batch_index } = this.#paused
    this.#paused = undefined
    worker.process.kill('SIGCONT')
    this.#note(`${told(worker)} is resumed with SIGCONT, too late for batch ${batch_index}.`)
  }

  fenced(worker: Worker, batch_index: number, settled: boolean): void {
    const then = settled ? 'is settled' : 'comes again'
    this.#note(`${told(worker)} is fenced: batch ${batch_index} is not counted twice and ${then}.`)
  }
}

function told({ name, process: { pid } }: Worker): string {
  return `${name} (pid ${pid})`
}
