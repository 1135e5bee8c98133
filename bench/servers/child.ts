import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Scope } from '../measure/scope.ts'

export interface Child {
  pid: number
  /** What its first line that matches `ready` says after it. */
  said: string
  stop: () => Promise<void>
}

/** A process that is up when a line of its output matches `ready`, and is ended with the scope. */
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

/** By its own id, politely, and after five seconds for good. */
async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const hurry = setTimeout(() => child.kill('SIGKILL'), 5000)
  await gone
  clearTimeout(hurry)
}

/** Resident memory now and at its highest, as Linux counts it; elsewhere not known. */
export async function memoryOf(pid: number): Promise<{ nowMiB: number; highestMiB: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
  return { nowMiB: field('VmRSS'), highestMiB: field('VmHWM') }
}
