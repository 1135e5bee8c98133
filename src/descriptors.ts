import type { Config } from '../../config.ts'

/** Idle, a socket takes some 10 KiB, so that memory bounds them where nothing else does. */
const MOST = 10_000

/** Logs, pipes and epoll of the process, files that are read, name servers that are asked, and sockets that are just refused. */
const OWN = 100

/**
 * How many sockets of callers may be open: half of the descriptors that the pool and the process leave. The other half is for
 * callbacks on their way, of which there are as many when receivers hang.
 */
export function mostSockets(
  { ROLLCALL_POOL_SIZE }: Config,
  descriptors = limitOfProcess(),
): number {
  const left = Math.floor((descriptors - ROLLCALL_POOL_SIZE - OWN) / 2)
  // A process with hardly any descriptors still has to answer its probes.
  return Math.min(MOST, Math.max(left, 16))
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
