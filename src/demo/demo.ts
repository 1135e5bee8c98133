import { randomInt, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { sumDirectly } from './checksum.ts'
import { differences } from './compare.ts'
import { DemoFailure } from './failure.ts'
import { Processes } from './processes.ts'
import { Progress, type Output } from './progress.ts'
import { Rollcall, type Barrier } from './rollcall.ts'
import { Run } from './run.ts'
import { findOrStart } from './service.ts'
import { inWords, totals } from './summary.ts'

const DIFFERENCES_SHOWN = 20
const INTERRUPTIONS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface DemoOptions {
  /** Where the service should run. */
  url: string
  /** The file of the command line: `node CLI serve` is what starts where nothing runs at `url`. */
  cli?: string
  /** The order in which messages are drawn; the workers race all the same. */
  seed?: number
  output?: Output
}

/** What the parts of one demo share. `stop` is aborted with the reason when it cannot end well. */
interface Stage {
  output: Output
  progress: Progress
  processes: Processes
  stop: AbortController
}

/** The main job on real input. Answers the exit code: 0 when the results are identical to a direct computation. */
export async function demo(folder: string, options: DemoOptions): Promise<number> {
  const { output = process.stdout } = options
  const progress = new Progress(output, Date.now())
  const processes = new Processes()
  const stop = new AbortController()
  const interrupt = (signal: NodeJS.Signals) => {
    const exitCode = 128 + constants.signals[signal]
    stop.abort(new DemoFailure(`The demo is ended by ${signal}.`, exitCode))
  }
  // A reader that has gone away, as in `| head`, ends the demo too.
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
  const { url } = service
  const execution_id = `demo-${randomUUID()}`
  progress.note(`Checksums of ${folder} at ${url} as ${execution_id}, seed ${seed}.`)

  const startedAt = performance.now()
  const rollcall = new Rollcall(url, stop.signal)
  const run = new Run({ url, execution_id, folder, seed, processes, progress, stop })
  const { generation, state, reason } = await close(run, rollcall, execution_id, stop.signal)
  progress.clear()
  if (state !== 'completed') {
    throw new DemoFailure(`The barrier is ${state} instead of completed: ${reason ?? 'no reason'}.`)
  }
  const seconds = Math.round(performance.now() - startedAt) / 1_000
  progress.note(`The barrier is completed; its results are compared with a direct computation.`)

  const found = await collect(rollcall.batches(execution_id, generation), stop.signal)
  const expected = await collect(sumDirectly(folder), stop.signal)
  const different = differences(expected, found)
  const identical = different.length === 0
  progress.note(identical ? 'identical' : told(different, expected.length))

  const { deliveries } = run.queue
  const summary = { identical, ...totals(expected), ...run.tally.counts, deliveries, seconds }
  output.write(output.isTTY === true ? inWords(summary) : `${JSON.stringify(summary)}\n`)
  return identical ? 0 : 1
}

/** The barrier once it is closed and its queue drained: the paused worker, too, was heard to the end. */
async function close(
  run: Run,
  rollcall: Rollcall,
  execution_id: string,
  signal: AbortSignal,
): Promise<Barrier & { generation: number }> {
  try {
    const [generation] = await once(run, 'enqueued', { signal })
    const closed = rollcall.closed(execution_id, generation).then(barrier => {
      run.trouble.resume()
      return barrier
    })
    const [barrier] = await Promise.all([closed, once(run, 'drained', { signal })])
    return { ...barrier, generation }
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
