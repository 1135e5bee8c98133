import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Scope } from '../measure/scope.ts'
import type { Jobs } from './jobs.ts'
import type { Tally } from './tally.ts'

interface Answer {
  id: number
  tally?: Tally
  failure?: string
}

export interface Load {
  run: <Job extends keyof Jobs>(job: Job, order: Parameters<Jobs[Job]>[0]) => Promise<Tally>
}

/** Starts a load generator in a process of its own, so that it does not share a core's time with the process that measures. */
export function startLoad(scope: Scope): Load {
  const child = fork(join(import.meta.dirname, 'process.js'))
  const waiting = new Map<
    number,
    { resolve: (tally: Tally) => void; reject: (error: Error) => void }
  >()
  child.on('message', ({ id, tally, failure }: Answer) => {
    const waiter = waiting.get(id)
    waiting.delete(id)
    if (tally) waiter?.resolve(tally)
    else waiter?.reject(new Error(failure))
  })
  child.once('exit', code => {
    for (const { reject } of waiting.values())
      reject(new Error(`The load generator ended with ${code}.`))
  })
  scope.onEnd(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  })
  let orders = 0
  return {
    run: (job, order) =>
      new Promise((resolve, reject) => {
        orders += 1
        waiting.set(orders, { resolve, reject })
        child.send({ id: orders, job, order })
      }),
  }
}
