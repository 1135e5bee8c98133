import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** How long the service may take to finish its open requests. */
const GRACE_MS = 15_000

/** The processes that the demo started. However the demo ends, each is ended by its own pid. */
export class Processes {
  readonly #endedBy = new Map<ChildProcess, NodeJS.Signals>()
  readonly #endNow = () => {
    for (const [child, signal] of this.#endedBy) child.kill(signal)
  }

  constructor() {
    process.once('exit', this.#endNow)
  }

  /** This file and the one it starts have the same extension, compiled or not. */
  fork(
    name: 'producer' | 'worker' | 'receiver',
    args: string[],
    environment: NodeJS.ProcessEnv = {},
  ): ChildProcess {
    const path = fileURLToPath(new URL(`./${name}${extname(import.meta.url)}`, import.meta.url))
    const env = { ...process.env, ...environment }
    const child = fork(path, args, { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    // SIGKILL also ends a process that is stopped.
    return this.#own(child, 'SIGKILL')
  }

  /** The service has a process group of its own, so that Ctrl-C reaches it once, through the demo, after its clients are gone. */
  serve(cli: string, env: NodeJS.ProcessEnv): ChildProcess {
    const args = [...process.execArgv, cli, 'serve']
    const stdio = ['ignore', 'ignore', 'pipe'] as const
    const child = spawn(process.execPath, args, { detached: true, env, stdio: [...stdio] })
    return this.#own(child, 'SIGTERM')
  }

  /** Ends the clients before the service. */
  async end(): Promise<void> {
    await this.#end('SIGKILL')
    await this.#end('SIGTERM')
    process.off('exit', this.#endNow)
  }

  async #end(by: NodeJS.Signals): Promise<void> {
    const children = [...this.#endedBy].filter(([, signal]) => signal === by)
    await Promise.all(children.map(([child, signal]) => end(child, signal)))
  }

  #own(child: ChildProcess, endedBy: NodeJS.Signals): ChildProcess {
    this.#endedBy.set(child, endedBy)
    child.once('exit', () => this.#endedBy.delete(child))
    // A message to a process that has just died is lost; the exit of that process is reported anyway.
    child.on('error', () => undefined)
    return child
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exited = once(child, 'exit')
  child.kill(signal)
  const patience = setTimeout(() => child.kill('SIGKILL'), GRACE_MS)
  await exited.finally(() => clearTimeout(patience))
}
