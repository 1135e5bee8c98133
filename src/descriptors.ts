import type { Config } from './config.ts'

/** The bound where descriptors allow more: an idle socket takes some 10 KiB of memory. */
export const MOST_SOCKETS = 10_000

/** The bound for attempts to deliver callbacks, where descriptors allow more. */
export const MOST_ATTEMPTS = 1_536

/** Descriptors of the process itself: logs, pipes, epoll, open files, queries of names, and sockets that are being refused. */
const OWN = 100

/** A process with hardly any descriptors must still answer its probes. */
const LEAST = 16

/** How many sockets of callers may be open. */
export function mostSockets(config: Config, descriptors = limitOfProcess()): number {
  return Math.min(MOST_SOCKETS, halfOf(config, descriptors))
}

/** How many callbacks may be on their way. While a receiver hangs, its callback holds a socket. */
export function mostAttempts(config: Config, descriptors = limitOfProcess()): number {
  return Math.min(MOST_ATTEMPTS, halfOf(config, descriptors))
}

/** Callers and callbacks each get half of the descriptors that the pool and the process leave. */
function halfOf({ ROLLCALL_POOL_SIZE }: Config, descriptors: number): number {
  return Math.max(LEAST, Math.floor((descriptors - ROLLCALL_POOL_SIZE - OWN) / 2))
}

/** The limit of `ulimit -n`, after Node has raised the soft limit to the hard one. Windows has none. */
function limitOfProcess(): number {
  // Otherwise the report would look up the names of all open sockets.
  Object.assign(process.report, { excludeNetwork: true })
  const { userLimits } = process.report.getReport() as {
    userLimits?: { open_files?: { soft: number | 'unlimited' } }
  }
  const soft = userLimits?.open_files?.soft
  return typeof soft === 'number' ? soft : Infinity
}
