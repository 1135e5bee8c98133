import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Bench } from './measure/finding.ts'
import { ratioOf, Rounds, type Sample } from './measure/rounds.ts'
import type { Scope } from './measure/scope.ts'
import { Postgres } from './servers/postgres.ts'
import { startService } from './servers/service.ts'

const SILENT = 1_000
const SECRET = `whsec_${Buffer.alloc(32, 'bench').toString('base64')}`
/** The longest wait of an honest receiver that is allowed, and how long the bench waits to see it. */
const MOST_SECONDS = 10
const PATIENCE_MS = 60_000

export const receivers: Bench = {
  claim: 'A callback waits ten seconds at most beside a thousand receivers that never answer.',
  minutes: { small: 8, full: 20 },
  run: async setup => {
    const { scope } = setup
    const postgres = await Postgres.start(scope)
    const honest = await listening(scope, '127.0.0.1', (_, reply) => reply.writeHead(204).end())
    const silent = await listening(scope, '127.0.0.1', () => undefined)
    const ports = await Promise.all(
      Array.from({ length: SILENT }, () => listening(scope, '127.0.0.1', () => undefined)),
    )
    const addresses = await Promise.all(
      Array.from({ length: SILENT }, (_, n) =>
        listening(scope, `127.1.${n >> 8}.${n & 255}`, () => undefined),
      ),
    )
    // One host with many paths; only one of them answers.
    const gateway = await listening(scope, '127.0.0.1', ({ url }, reply) => {
      if (url === '/honest') reply.writeHead(204).end()
    })
    const alone = { urls: [] as string[], honest, path: '/honest' }
    const measure =
      ({ urls, honest: server, path }: typeof alone) =>
      async (round: number): Promise<Sample> => {
        if (round === 0) return {}
        const service = await startService(scope, await postgres.database(), {
          environment: { ROLLCALL_WEBHOOK_SECRET: SECRET },
        })
        const enqueue = (execution: string, url: string) => posted(service.origin, execution, url)
        for (let first = 0; first < urls.length; first += 16)
          await Promise.all(
            urls.slice(first, first + 16).map((url, n) => enqueue(`silent-${first + n}`, url)),
          )
        const arrived = arrival(server, path)
        const due = performance.now()
        await enqueue('honest', `${originOf(server)}${path}`)
        const waited = (await arrived) - due
        const { nowMiB } = await service.memory()
        await service.stop()
        return { 'wait s': waited / 1000, 'memory MiB': nowMiB }
      }
    const thousand = (urlOf: (nth: number) => string) =>
      Array.from({ length: SILENT }, (_, nth) => urlOf(nth))
    const paths = thousand(n => `${originOf(gateway)}/${n}`)
    const { port } = silent.address() as AddressInfo
    const measured = await Rounds.of(
      {
        alone: measure(alone),
        'beside 1,000 ports': measure({ ...alone, urls: ports.map(one => `${originOf(one)}/`) }),
        'beside 1,000 names': measure({
          ...alone,
          urls: thousand(n => `http://n${n}.localhost:${port}/`),
        }),
        'beside 1,000 addresses': measure({
          ...alone,
          urls: addresses.map(one => `${originOf(one)}/`),
        }),
        'beside 1,000 paths of its host': measure({ ...alone, urls: paths, honest: gateway }),
        'beside 20 callbacks to a path of its host': measure({
          ...alone,
          urls: Array.from({ length: 20 }, () => `${originOf(gateway)}/silent`),
          honest: gateway,
        }),
      },
      1,
      setup,
    )
    const limit = measured.values('alone', 'wait s').map(() => MOST_SECONDS)
    return {
      series: measured.series(),
      ratios: [
        'beside 1,000 ports',
        'beside 1,000 names',
        'beside 1,000 addresses',
        'beside 1,000 paths of its host',
        'beside 20 callbacks to a path of its host',
      ].map(crowd =>
        ratioOf(`wait ${crowd} / ten seconds`, measured.values(crowd, 'wait s'), limit, {
          most: 1,
        }),
      ),
      notes: [
        'Waits count from when the honest callback is enqueued, after all silent ones, until its POST arrives. All receivers are on loopback; the memory is that of the service as it arrives.',
      ],
    }
  },
}

async function listening(
  scope: Scope,
  host: string,
  act: Parameters<typeof createServer>[1],
): Promise<Server> {
  const server = createServer(act).listen(0, host)
  await once(server, 'listening')
  scope.onEnd(async () => {
    server.close()
    server.closeAllConnections()
  })
  return server
}

function originOf(server: Server): string {
  const { address, port } = server.address() as AddressInfo
  return `http://${address}:${port}`
}

async function posted(origin: string, execution: string, url: string): Promise<void> {
  const reply = await fetch(`${origin}/executions/${execution}/barrier/enqueue`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ total: 0, callback: { url } }),
  })
  if (reply.status !== 201) throw new Error(`${url}: ${reply.status} ${await reply.text()}`)
  await reply.arrayBuffer()
}

/** Resolves when the POST to this path comes, or when it did not come in time. */
async function arrival(server: Server, path: string): Promise<number> {
  const ended = new AbortController()
  const come = (async () => {
    for (;;) {
      const [request] = await once(server, 'request', { signal: ended.signal })
      if (request.url === path) return performance.now()
    }
  })()
  const late = pause(PATIENCE_MS, Number.POSITIVE_INFINITY, { signal: ended.signal })
  try {
    return await Promise.race([come, late])
  } finally {
    ended.abort()
    await Promise.allSettled([come, late])
  }
}
