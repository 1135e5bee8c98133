import type { Config } from './config.ts'

/** Idle, a socket takes some 10 KiB, so that memory bounds them where nothing else does. */
export const MOST_SOCKETS = 10_000

/** Attempts to deliver callbacks, where descriptors do not bound them. */
export const MOST_ATTEMPTS = 1_536

/** Logs, pipes and epoll of the process, files that are read, name servers that are asked, and sockets that are just refused. */
const OWN = 100

/** A process with hardly any descriptors still has to answer its probes. */
const LEAST = 16

/** How many sockets of callers may be open. */
export function mostSockets(config: Config, descriptors = limitOfProcess()): number {
  return Math.min(MOST_SOCKETS, halfOf(config, descriptors))
}

/** How many callbacks may be on their way: when receivers hang, each of them holds a socket. */
export function mostAttempts(config: Config, descriptors = limitOfProcess()): number {
  return Math.min(MOST_ATTEMPTS, halfOf(config, descriptors))
}

/** What the pool and the process leave is for callers and for callbacks, half and half. */
function halfOf({ ROLLCALL_POOL_SIZE }: Config, descriptors: number): number {
  return Math.max(LEAST, Math.floor((descriptors - ROLLCALL_POOL_SIZE - OWN) / 2))
}

/** What `ulimit -n` says, once Node has raised the soft limit to the hard one; Windows has none. */
function limitOfProcess(): number {
  // Otherwise the report asks name servers about the sockets that are open.
  Object.assign(process.report, { excludeNetwork: true })
  const { userLimits } = process.report.getReport() as {
    userLimits?: { open_files?: { soft: number | 'unlimited' } }
  }
  const soft = userLimits?.open_files?.soft
  return typeof soft === 'number' ? soft : Infinity
}
