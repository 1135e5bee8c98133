import { execFileSync } from 'node:child_process'
import { cpSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { emptyDatabase } from '../fixtures/database.ts'
import { build, caller, openFolder, serve } from '../fixtures/process.ts'

const project = join(import.meta.dirname, '..', '..', '..')

/** The last service from before `rollcall_migrations`, whose schema is at version 3. */
const BEFORE = '85b3a04a9412ad03233b34a72ace0fd5f190084d'

/** That service, built from the history of this repository with the packages that are here; nothing where there is no history. */
async function buildBefore(t: Test): Promise<string | undefined> {
  const root = await openFolder(t)
  let archive: Buffer
  try {
    archive = execFileSync('git', ['archive', BEFORE], {
      cwd: project,
      maxBuffer: 64 * 1024 * 1024,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  } catch {
    return undefined
  }
  execFileSync('tar', ['-x', '-C', root], { input: archive })
  symlinkSync(join(project, 'node_modules'), join(root, 'node_modules'))
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
    cwd: root,
  })
  cpSync(join(root, 'src'), join(root, 'dist'), {
    recursive: true,
    filter: file => !file.endsWith('.ts'),
  })
  return root
}

type Call = ReturnType<typeof caller>

/** Runs of three batches and a callback, each call on one of the services that are there, until `stop`. */
function load(call: () => Call) {
  const runs: string[] = []
  const bad: string[] = []
  let slowestMs = 0
  const stopping = new AbortController()
  const ask = async (...[method, url, body]: Parameters<Call>) => {
    const begun = performance.now()
    const reply = await call()(method, url, body)
    slowestMs = Math.max(slowestMs, performance.now() - begun)
    if (reply.status >= 300) bad.push(`${method} ${url}: ${reply.status} ${reply.text}`)
    return reply.body as Record<string, unknown>
  }
  const work = async (worker: number) => {
    for (let nth = 0; !stopping.signal.aborted; nth += 1) {
      const run = `run-${worker}-${nth}`
      const queue = `queue-${worker}`
      runs.push(run)
      await ask('POST', `/executions/${run}/barrier/enqueue`, { total: 3, callback: { queue } })
      for (const batch_index of [0, 1, 2]) {
        const { token } = await ask('POST', `/executions/${run}/batches/${batch_index}/claim`, {
          lease_seconds: 30,
          owner: 'me',
        })
        await ask('POST', `/executions/${run}/batches/${batch_index}/heartbeat`, { token })
        await ask('POST', `/executions/${run}/barrier/decrement`, {
          batch_index,
          token,
          result: nth,
        })
      }
      const pulled = await ask('POST', '/callbacks/claim', { queue })
      const [callback] = (pulled['callbacks'] ?? pulled['data'] ?? []) as Record<string, unknown>[]
      await ask('POST', `/executions/${run}/callback/ack`, { token: callback?.['token'] })
    }
  }
  const workers = Promise.all([0, 1, 2, 3].map(work))
  return {
    /** Until this many more runs have ended on whatever services are there. */
    more: async (count: number) => {
      const wanted = runs.length + count
      while (runs.length < wanted && bad.length === 0) await call()('GET', '/livez')
    },
    stop: async () => {
      stopping.abort()
      await workers
      return { runs, bad, slowestMs }
    },
  }
}

const isReady = async ({ url }: { url: string }) => (await caller(url)('GET', '/readyz')).text

t.test(
  'a service of before and this one serve side by side, through migration and rollback',
  async t => {
    const rootBefore = await buildBefore(t)
    if (rootBefore === undefined) {
      t.pass('skipped: there is no git history here')
      return
    }
    const database = await emptyDatabase(t)
    const environment = { DATABASE_URL: database.url }
    const before = await serve(t, rootBefore, environment)
    let origins = [before.url]
    const calls = load(() => caller(origins[Math.floor(Math.random() * origins.length)] ?? ''))
    await calls.more(5)

    // Started under load, it migrates.
    const after = await serve(t, await build(t), environment)
    origins = [before.url, after.url]
    await calls.more(30)
    t.strictSame(
      [await isReady(before), await isReady(after)],
      ['{"status":"ready"}', '{"status":"ready"}'],
    )

    // Rolled back: the older service starts anew on the newer schema.
    const rolledBack = await serve(t, rootBefore, environment)
    origins = [before.url, rolledBack.url]
    await calls.more(10)
    t.equal(await isReady(rolledBack), '{"status":"ready"}')

    const { runs, bad, slowestMs } = await calls.stop()
    t.strictSame(bad, [])
    t.comment(`${runs.length} runs; the slowest call took ${Math.round(slowestMs)} ms`)
    t.strictSame(
      await database.query(
        `select state, callback_state, count(*)::integer, sum(succeeded)::integer as succeeded
       from barriers group by 1, 2`,
      ),
      [
        {
          state: 'completed',
          callback_state: 'delivered',
          count: runs.length,
          succeeded: 3 * runs.length,
        },
      ],
    )
  },
)
