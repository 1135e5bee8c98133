import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Pool } from 'pg'
import t from 'tap'
import { freshDatabase } from '../fixtures/database.ts'
import { lockOf, rounds, states, tally, times, together, until, work } from '../fixtures/gate.ts'
import {
  build,
  caller,
  freePort,
  openFolder,
  orphanedPostgres,
  serve,
} from '../fixtures/process.ts'
import { removeServer } from '../fixtures/server.ts'
import type { Reply } from '../fixtures/service.ts'

const root = await build(t)

t.test('SIGTERM: readiness turns red while requests are still served', async t => {
  const database = await freshDatabase(t)
  const served = await serve(t, root, { DATABASE_URL: database.url, ROLLCALL_DRAIN_SECONDS: '1' })
  const call = caller(served.url)
  t.match(await call('GET', '/readyz'), { status: 200 })
  served.process.kill('SIGTERM')
  await until(async () => (await call('GET', '/readyz')).status === 503, 'readiness turns red')
  t.match(await call('GET', '/readyz'), { status: 503, body: { code: 'draining', effect: 'none' } })
  t.match(await call('POST', '/executions/run/batches/0/claim'), {
    body: { outcome: 'granted' },
    headers: { connection: 'close' },
  })
  t.match(await call('GET', '/livez'), { status: 200 })
  t.equal(await served.exited, 0, 'it ends with exit code 0')
})

t.test(
  'SIGTERM: who waits is answered, who is in flight is finished, and nobody is cut',
  async t => {
    const database = await freshDatabase(t)
    // However slow the machine is, the decrement still waits when the test looks.
    const served = await serve(t, root, {
      DATABASE_URL: database.url,
      ROLLCALL_POOL_WAIT_SECONDS: '30',
      ROLLCALL_LOCK_TIMEOUT_SECONDS: '30',
      ROLLCALL_STATEMENT_TIMEOUT_SECONDS: '40',
    })
    const call = caller(served.url)
    const { port } = new URL(served.url)
    await call('POST', '/executions/run/barrier/enqueue', { total: 10 })

    // A socket that sends nothing, and one that is idle after its request.
    const silent = connect(Number(port), '127.0.0.1')
    const idle = connect(Number(port), '127.0.0.1')
    await Promise.all([once(silent, 'connect'), once(idle, 'connect')])
    idle.write('GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await once(idle, 'data')
    const closed = Promise.all(
      [silent, idle].map(async socket => {
        socket.resume()
        await once(socket, 'close')
      }),
    )

    const begun = performance.now()
    const waiter = call('GET', '/executions/run/barrier?wait_seconds=50')
    const holder = await database.pool.connect()
    await holder.query('begin')
    await holder.query(lockOf('run'))
    const inFlight = together(4, nth =>
      call('POST', '/executions/run/barrier/decrement', { batch_index: nth }),
    )
    await until(async () => {
      const { rows } = await holder.query<{ count: number }>(
        `select count(*)::integer as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`,
      )
      return rows[0]?.count === 1
    }, 'a decrement waits for the lock')

    served.process.kill('SIGTERM')
    const waited = await waiter
    t.match(
      waited,
      { status: 200, body: { state: 'open', remaining: 10 } },
      'the waiter is answered',
    )
    const late = await call('POST', '/executions/run/batches/9/claim').catch(() => 'refused')
    if (late !== 'refused')
      t.match(late, { status: 503, body: { code: 'draining', effect: 'none' } })
    await holder.query('rollback')
    holder.release()
    const finished = await inFlight
    t.strictSame(
      finished.map(({ status, body }) => `${status} ${body.outcome}`),
      Array.from({ length: 4 }, () => '200 recorded'),
    )
    await closed
    t.equal(await served.exited, 0, 'it ends with exit code 0')
    t.ok(performance.now() - begun < 10_000, 'within the deadline')
    t.strictSame(await database.query('select succeeded from barriers'), [{ succeeded: 4 }])
    t.strictSame(
      await database.query(`select count(*)::integer from batches where batch_index = 9`),
      [{ count: 0 }],
      'invariant 7: what was refused stored nothing',
    )
  },
)

t.test('SIGTERM while Postgres hangs: the service still ends in time, and cleanly', async t => {
  const database = await freshDatabase(t)
  const served = await serve(t, root, {
    DATABASE_URL: database.url,
    ROLLCALL_STATEMENT_TIMEOUT_SECONDS: '1',
    ROLLCALL_LOCK_TIMEOUT_SECONDS: '1',
  })
  const call = caller(served.url)
  t.match(await call('POST', '/executions/run/batches/0/claim'), { status: 200 })
  const backends = await database.query<{ pid: number }>(
    `select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
  )
  t.ok(backends.length >= 2, 'the pool and the one who listens')
  const signal = (name: NodeJS.Signals) => backends.forEach(({ pid }) => process.kill(pid, name))
  signal('SIGSTOP')
  t.teardown(() => signal('SIGCONT'))
  const begun = performance.now()
  served.process.kill('SIGTERM')
  t.equal(await served.exited, 0, 'it ends with exit code 0')
  t.ok(performance.now() - begun < 20_000, 'within the deadline')
})

t.test('SIGTERM under load: every request is answered or never accepted', async t => {
  const database = await freshDatabase(t)
  const served = await serve(t, root, { DATABASE_URL: database.url })
  const call = caller(served.url)
  await call('POST', '/executions/run/barrier/enqueue', { total: 1_000_000 })
  const acknowledged: number[] = []
  const others: string[] = []
  let next = 0
  let over = false
  const client = async () => {
    while (!over) {
      const batch_index = (next += 1)
      try {
        const { status, body } = await call('POST', '/executions/run/barrier/decrement', {
          batch_index,
        })
        if (status === 200) acknowledged.push(batch_index)
        else others.push(`${status} ${body.code} ${body.effect}`)
      } catch (error) {
        others.push(String((error as { cause?: { code?: string } }).cause?.code))
        over = true
      }
    }
  }
  const clients = together(16, client)
  await until(() => acknowledged.length > 200, 'decrements are acknowledged')
  served.process.kill('SIGTERM')
  t.equal(await served.exited, 0, 'it ends with exit code 0')
  await clients

  const allowed = new Set(['503 draining none', 'ECONNREFUSED', 'UND_ERR_SOCKET', 'ECONNRESET'])
  t.strictSame(
    others.filter(other => !allowed.has(other)),
    [],
  )
  const rows = await database.query<{ batch_index: number }>(
    `select batch_index from batches where state = 'succeeded' order by 1`,
  )
  const stored = rows.map(({ batch_index }) => batch_index)
  // What was accepted was answered: nothing is stored that nobody was told of, and nothing told is missing.
  t.strictSame(
    stored,
    acknowledged.toSorted((a, b) => a - b),
  )
})

t.test('invariant 5: what a service acknowledged is not lost by kill -9', async t => {
  const batches = 40
  const runs = 6
  const kills = times(2)
  const database = await freshDatabase(t)
  const PORT = await freePort()
  const environment = { DATABASE_URL: database.url, PORT }
  let served = await serve(t, root, environment)
  const call = caller(served.url)
  await together(runs, run =>
    call('POST', `/executions/run-${run}/barrier/enqueue`, {
      total: batches,
      callback: { queue: 'done' },
    }),
  )

  let answers = 0
  const working = together(runs, run =>
    work(call, `run-${run}`, batches, { copies: 2, onAnswer: () => (answers += 1) }),
  )
  await rounds(kills, async nth => {
    await until(() => answers >= (nth + 1) * 60, 'the workers get their answers')
    await served.kill()
    served = await serve(t, root, environment)
  })
  const told = await working

  t.strictSame(await states(database), { [`completed ${batches} due, ${batches} recorded`]: runs })
  const rows = await database.query<{ key: string; token: string }>(
    `select execution_id || ' ' || batch_index as key, token from batches`,
  )
  const tokenOf = new Map(rows.map(({ key, token }) => [key, token]))
  const acknowledged = told.flatMap(({ decrements }, run) =>
    decrements.map(({ batch_index, token }) => ({ key: `run-${run} ${batch_index}`, token })),
  )
  t.ok(acknowledged.length >= runs * batches - 16 * kills, `${acknowledged.length} acknowledged`)
  t.strictSame(
    acknowledged.filter(({ key, token }) => tokenOf.get(key) !== token),
    [],
    'every acknowledged batch is recorded under the token that recorded it',
  )
  const outcomes = tally(told.flatMap(({ decrements }) => decrements.map(d => d.outcome)))
  t.strictSame(
    Object.keys(outcomes).filter(outcome => outcome !== 'recorded' && outcome !== 'duplicate'),
    [],
    JSON.stringify(outcomes),
  )
})

t.test('invariant 5: what was acknowledged is not lost by kill -9 of Postgres', async t => {
  const executions = 4
  const outages = times(1)
  const dataDir = await openFolder(t)
  t.teardown(() => removeServer(dataDir))
  const url = await orphanedPostgres(root, dataDir)
  const served = await serve(t, root, { DATABASE_URL: url })
  const call = caller(served.url)
  await together(executions, nth => enqueue(nth))

  const acknowledged: string[] = []
  const refused: Reply[] = []
  const over = new AbortController()
  // Each client counts one batch after the other, and repeats what was refused until it is known.
  const client = async (nth: number) => {
    for (let index = 0; !over.signal.aborted; index += 1) {
      const body = { batch_index: index, result: index }
      await until(
        async () => {
          const reply = await call('POST', `/executions/run-${nth}/barrier/decrement`, body)
          if (reply.status === 200) acknowledged.push(`run-${nth} ${index}`)
          else refused.push(reply)
          return reply.status === 200
        },
        'a decrement is acknowledged',
        50,
      )
    }
  }
  const clients = together(executions, client)

  for (let outage = 0; outage < outages; outage += 1) {
    const before = { acknowledged: acknowledged.length, refused: refused.length }
    await until(
      () => acknowledged.length > before.acknowledged + 200,
      'decrements are acknowledged',
    )
    process.kill(await postmaster(dataDir), 'SIGKILL')
    await until(() => refused.length > before.refused + 8, 'the outage is felt')
    t.match(await call('GET', '/readyz'), { status: 503, body: { code: 'database_unavailable' } })
    t.match(await call('GET', '/livez'), { status: 200 })
    t.equal(await orphanedPostgres(root, dataDir), url)
    await until(async () => (await call('GET', '/readyz')).status === 200, 'the service is ready')
  }
  over.abort()
  await clients
  t.equal(served.process.exitCode, null, 'the service did not exit')

  t.strictSame(tally(refused.map(({ status, body }) => `${status} ${body.code}`)), {
    '503 database_unavailable': refused.length,
  })
  t.ok(refused.every(({ headers }) => /^\d+$/.test(String(headers['retry-after']))))
  const effects = tally(refused.map(({ body }) => body.effect))
  t.ok(effects['none'] && Object.keys(effects).every(e => e === 'none' || e === 'unknown'))
  t.comment(
    `${acknowledged.length} acknowledged, ${refused.length} refused ${JSON.stringify(effects)}`,
  )

  const pool = new Pool({ connectionString: url })
  const { rows } = await pool.query<{ key: string }>(
    `select execution_id || ' ' || batch_index as key from batches where state = 'succeeded'`,
  )
  const stored = new Set(rows.map(({ key }) => key))
  t.strictSame(
    acknowledged.filter(key => !stored.has(key)),
    [],
    '0 acknowledged lost',
  )
  const query = async (sql: string) => (await pool.query(sql)).rows
  const counted = await query(
    `select succeeded = (select count(*) from batches
      where execution_id = barriers.execution_id and state = 'succeeded') as exact
    from barriers`,
  )
  await pool.end()
  t.strictSame(
    counted,
    Array.from({ length: executions }, () => ({ exact: true })),
  )

  async function enqueue(nth: number): Promise<void> {
    const reply = await call('POST', `/executions/run-${nth}/barrier/enqueue`, { total: 1_000_000 })
    t.equal(reply.status, 201)
  }
})

/** The first line of the file that Postgres writes while it runs. */
async function postmaster(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8'), 10)
}
