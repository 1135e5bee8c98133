import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Scope } from '../measure/scope.ts'

export interface Child {
  pid: number
  /** The rest of its first line that matches `ready`. */
  said: string
  stop: () => Promise<void>
}

/** Starts a process and waits until a line of its output matches `ready`. The process ends with the scope. */
export async function start(
  scope: Scope,
  command: readonly [string, ...string[]],
  { ready, environment = {} }: { ready: RegExp; environment?: Record<string, string> },
): Promise<Child> {
  const [program, ...args] = command
  const child = spawn(program, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stop = () => end(child)
  scope.onEnd(stop)
  let output = ''
  const said = new Promise<string>((resolve, reject) => {
    const hear = (line: string) => {
      output = `${output}${line}\n`.slice(-4000)
      const match = ready.exec(line)
      if (match) resolve(match[1] ?? '')
    }
    createInterface({ input: child.stdout }).on('line', hear)
    createInterface({ input: child.stderr }).on('line', hear)
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`${program} ended with ${code}: ${output}`)))
  })
  return { said: await said, pid: child.pid ?? 0, stop }
}

/** Ends it by its own id: politely at first, and after five seconds for good. */
async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const hurry = setTimeout(() => child.kill('SIGKILL'), 5000)
  await gone
  clearTimeout(hurry)
}

/** Resident memory now and at its highest, as Linux counts it. Other systems do not show it. */
export async function memoryOf(pid: number): Promise<{ nowMiB: number; highestMiB: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
  return { nowMiB: field('VmRSS'), highestMiB: field('VmHWM') }
}

/** Linux counts processor time in hundredths of a second on every processor. */
const TICKS_PER_SECOND = 100

/** The processor time of a process and of its children that are gone. Only Linux shows it. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The name in parentheses may contain spaces; utime, stime, cutime and cstime are the 12th to 15th field after it.
  const ticks = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15)
  return ticks.length < 4
    ? Number.NaN
    : ticks.reduce((sum, text) => sum + Number(text), 0) / TICKS_PER_SECOND
}
