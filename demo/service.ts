import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as rest } from 'node:timers/promises'
import * as z from 'zod'
import { DemoFailure } from './failure.ts'
import type { Processes } from './processes.ts'
import type { Progress } from './progress.ts'
import { freshSecrets, keptSecrets, type Secrets } from './secrets.ts'

/** A first start unpacks and initialises a whole Postgres. */
const START_MS = 90_000
const REST_MS = 200
const REPLY_MS = 5_000

const OpenApi = z.object({ info: z.object({ title: z.string().regex(/^rollcall\b/i) }) })

export interface Whereabouts {
  /** The URL at which the service should run. */
  url: string
  /** The file of the command line. If nothing runs at `url`, the demo starts `node CLI serve`. */
  cli?: string
  /** The folder in which a service without DATABASE_URL keeps its database and its secret. */
  dataDir: string
  /** The secrets that sign callbacks, from the demo's own environment; none when only the service knows them. */
  secrets?: string[]
}

interface Service {
  url: string
  /** Undefined when only the service knows them. */
  signing?: Secrets | undefined
  /** The process, when the demo started it. */
  process?: ChildProcess
}

/** The Rollcall that runs at `url`. If none runs there, the demo starts one of its own on a free port. */
export async function findOrStart(
  { url, cli, dataDir, secrets = [] }: Whereabouts,
  stage: { processes: Processes; progress: Progress; signal: AbortSignal },
): Promise<Service> {
  const given =
    secrets.length > 0 ? { secrets, origin: 'that of ROLLCALL_WEBHOOK_SECRET' } : undefined
  if (await isRollcall(url)) {
    await ready(url, stage.signal)
    return { url, signing: given ?? (await keptSecrets(dataDir)) }
  }
  if (cli === undefined) throw new DemoFailure(`No Rollcall answers at ${url}; start one there.`)
  stage.progress.note(
    `No Rollcall answers at ${url}; the demo starts its own and ends it afterwards.`,
  )
  return start(cli, given ?? freshSecrets(), stage)
}

async function start(
  cli: string,
  signing: Secrets,
  { processes, signal }: { processes: Processes; signal: AbortSignal },
): Promise<Service> {
  const port = String(await freePort())
  const url = `http://127.0.0.1:${port}`
  const service = processes.serve(cli, {
    ...process.env,
    HOST: '127.0.0.1',
    PORT: port,
    ROLLCALL_WEBHOOK_SECRET: signing.secrets.join(' '),
    // The service would refuse both variables together, and the demo has already read this file.
    ROLLCALL_WEBHOOK_SECRET_FILE: '',
  })
  let said = ''
  service.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2_000)
  })
  const gone = new AbortController()
  service.once('close', () => {
    gone.abort(new DemoFailure(`The demo's own Rollcall did not start. ${said}`.trim()))
  })
  await ready(url, AbortSignal.any([signal, gone.signal]))
  return { url, signing, process: service }
}

async function isRollcall(url: string): Promise<boolean> {
  const document = await get(`${url}/openapi.json`)
  return OpenApi.safeParse(await document?.json().catch(() => undefined)).success
}

async function ready(
  url: string,
  signal: AbortSignal,
  until = performance.now() + START_MS,
): Promise<void> {
  signal.throwIfAborted()
  const reply = await get(`${url}/readyz`)
  const said = (await reply?.text()) ?? ''
  if (reply?.ok === true) return
  if (performance.now() > until)
    throw new DemoFailure(`Rollcall at ${url} is not ready. ${said}`.trim())
  await rest(REST_MS)
  await ready(url, signal, until)
}

async function get(url: string): Promise<Response | undefined> {
  return fetch(url, { signal: AbortSignal.timeout(REPLY_MS) }).catch(() => undefined)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new DemoFailure('No port is free.')
  return address.port
}
