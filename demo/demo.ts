import { randomInt, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { Callback } from './callback.ts'
import { sumDirectly, TASK_NAME } from './checksum.ts'
import { differences } from './compare.ts'
import { DemoFailure } from './failure.ts'
import { Processes } from './processes.ts'
import { Progress, type Output } from './progress.ts'
import { Rollcall, type Barrier, type RecordedBatch } from './rollcall.ts'
import { Run } from './run.ts'
import { findOrStart, type Whereabouts } from './service.ts'
import { inWords, totals, type Summary } from './summary.ts'
import { attemptFaults, messageFaults } from './verdict.ts'

const DIFFERENCES_SHOWN = 20
const INTERRUPTIONS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface DemoOptions extends Whereabouts {
  /** The order in which messages are drawn; the workers race all the same. */
  seed?: number
  output?: Output
}

/** The things that the parts of one demo share. `stop` is aborted with the reason when the demo cannot end well. */
interface Stage {
  output: Output
  progress: Progress
  processes: Processes
  stop: AbortController
}

/** Runs the main job on real input. The exit code is 0 when results and callback agree with a direct computation. */
export async function demo(folder: string, options: DemoOptions): Promise<number> {
  const { output = process.stdout } = options
  const progress = new Progress(output, performance.now())
  const processes = new Processes()
  const stop = new AbortController()
  const interrupt = (signal: NodeJS.Signals) => {
    const exitCode = 128 + constants.signals[signal]
    stop.abort(new DemoFailure(`The demo is ended by ${signal}.`, exitCode))
  }
  // If the reader of the output is gone, as in `| head`, the demo ends too.
  const unread = () => stop.abort(new DemoFailure('Nobody reads what the demo prints.'))
  for (const signal of INTERRUPTIONS) process.on(signal, interrupt)
  output.on('error', unread)

  try {
    return await play(resolve(folder), options, { output, progress, processes, stop })
  } catch (error) {
    progress.clear()
    const reason: unknown = stop.signal.aborted ? stop.signal.reason : error
    if (!(reason instanceof DemoFailure)) throw reason
    process.stderr.write(`${reason.message}\n`)
    return reason.exitCode
  } finally {
    await processes.end()
    output.off('error', unread)
    for (const signal of INTERRUPTIONS) process.off(signal, interrupt)
  }
}

async function play(folder: string, options: DemoOptions, stage: Stage): Promise<number> {
  const { output, progress, processes, stop } = stage
  const { seed = randomInt(2 ** 32) } = options
  const isFolder = await stat(folder).then(
    entry => entry.isDirectory(),
    () => false,
  )
  if (!isFolder)
    throw new DemoFailure(`${folder} is not a folder; name one whose files are to be summed.`)

  const service = await findOrStart(options, { processes, progress, signal: stop.signal })
  service.process?.once('exit', () => stop.abort(new DemoFailure('The service ended in the demo.')))
  const { url, signing } = service
  if (signing === undefined) {
    progress.note(
      `The secret of the service at ${url} is not known here, so no signature is checked; set ROLLCALL_WEBHOOK_SECRET to it.`,
    )
  }
  const execution_id = `demo-${randomUUID()}`
  progress.note(`Checksums of ${folder} at ${url} as ${execution_id}, seed ${seed}.`)

  const receiver = processes.fork('receiver', [], {
    ROLLCALL_WEBHOOK_SECRET: signing?.secrets.join(' '),
  })
  const callback = new Callback(receiver, { progress, stop })
  const callback_url = await callback.url()

  const startedAt = performance.now()
  const rollcall = new Rollcall(url, stop.signal)
  const run = new Run({
    url,
    execution_id,
    folder,
    callback_url,
    seed,
    processes,
    progress,
    stop,
  })
  const barrier = await close(run, rollcall, execution_id, stop.signal)
  const { state, reason } = barrier
  progress.clear()
  if (state !== 'completed') {
    throw new DemoFailure(`The barrier is ${state} instead of completed: ${reason ?? 'no reason'}.`)
  }
  const seconds = Math.round(performance.now() - startedAt) / 1_000
  progress.note(`The barrier is completed; its results are compared with a direct computation.`)

  const found = await collect(rollcall.batches(barrier), stop.signal)
  const expected = await collect(sumDirectly(folder), stop.signal)
  const different = differences(expected, found)
  const identical = different.length === 0
  progress.note(identical ? 'identical' : told(different, expected.length))

  const origin = signing?.origin ?? 'which is not known'
  const faults = await callbackFaults(callback, { rollcall, barrier, found, origin, stop })
  progress.note(faults.length === 0 ? 'The callback is as it has to be.' : faults.join('\n'))

  const { deliveries } = run.queue
  const summary: Summary = {
    identical,
    ...totals(expected),
    ...run.tally.counts,
    deliveries,
    seconds,
    callback: { attempts: callback.attempts, faults },
  }
  output.write(output.isTTY === true ? inWords(summary) : `${JSON.stringify(summary)}\n`)
  return identical && faults.length === 0 ? 0 : 1
}

interface Ended {
  rollcall: Rollcall
  barrier: Barrier
  found: RecordedBatch[]
  /** The place from which the secret for verifying signatures comes. */
  origin: string
  stop: AbortController
}

/** Waits until the receiver accepted the callback and the service knows it. */
async function callbackFaults(callback: Callback, ended: Ended): Promise<string[]> {
  const { rollcall, barrier, found, origin, stop } = ended
  const body = await callback.accepted()
  const { state, attempts } = await rollcall.callback(barrier.execution_id)
  if (body === undefined) {
    const last = JSON.stringify(attempts.at(-1) ?? 'none')
    throw new DemoFailure(
      `Attempt ${callback.attempts.length + 1} of the callback does not come; the service says that it is ${state}, the last attempt: ${last}.`,
    )
  }
  const truth = { barrier, batches: found, task_name: TASK_NAME }
  const follow = (url: string) => collect(rollcall.pages(url), stop.signal)
  return [
    ...attemptFaults(callback.attempts, origin),
    ...(await messageFaults(body, truth, follow)),
    ...(state === 'delivered' ? [] : [`The service says that the callback is ${state}.`]),
  ]
}

/** The barrier, once it is closed and its queue is drained, so that the paused worker has finished too. */
async function close(
  run: Run,
  rollcall: Rollcall,
  execution_id: string,
  signal: AbortSignal,
): Promise<Barrier> {
  try {
    const [generation] = await once(run, 'enqueued', { signal })
    const closed = rollcall.closed(execution_id, generation).then(barrier => {
      run.trouble.resume()
      return barrier
    })
    const [barrier] = await Promise.all([closed, once(run, 'drained', { signal })])
    return barrier
  } finally {
    run.end()
  }
}

function told(different: string[], batches: number): string {
  const shown = different.slice(0, DIFFERENCES_SHOWN)
  const count = `${different.length} of ${batches} batches`
  return [...shown, `different: ${count}; was the folder written to in the meantime?`].join('\n')
}

async function collect<Member>(
  members: AsyncIterable<Member>,
  signal: AbortSignal,
): Promise<Member[]> {
  const collected: Member[] = []
  for await (const member of members) {
    signal.throwIfAborted()
    collected.push(member)
  }
  return collected
}
