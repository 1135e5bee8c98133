import t from 'tap'
import { Webhook } from 'standardwebhooks'
import { makeDue, secret } from '../fixtures/delivery.ts'
import { freshDatabase } from '../fixtures/database.ts'
import { rounds, tally, times, together, until } from '../fixtures/gate.ts'
import { build, caller, freePort, serve } from '../fixtures/process.ts'
import { type Act, receiver } from '../fixtures/receiver.ts'

const root = await build(t)

/** What one replica sends at once, and may have under way when it dies. */
const SLOTS = 64

/** Holds back its answer for as long as the process lives that asked. */
const keepsSilent: Act = () => undefined

t.test('kill -9 before the delivery, and between the POST and its record', async t => {
  const kills = times(20)
  const database = await freshDatabase(t)
  const settings = {
    DATABASE_URL: database.url,
    PORT: await freePort(),
    LOG_LEVEL: 'info',
    ROLLCALL_WEBHOOK_SECRET: secret,
  }
  let acting: Act = keepsSilent
  const to = await receiver(t, (reply, delivery) => {
    if (typeof acting === 'function') acting(reply, delivery)
    else reply.writeHead(204).end()
  })
  let served = await serve(t, root, settings)
  const call = caller(served.url)
  const printed = [served.output]

  await rounds(kills, async nth => {
    // Every slot of the host is taken by a POST that has arrived and is not answered …
    acting = keepsSilent
    const before = to.received.length
    await together(4, slot => close(`sent-${nth}-${slot}`))
    await to.nth(before + 4)
    // … so this callback is due, and cannot have been sent when the process dies.
    await close(`due-${nth}`)
    await served.kill()
    t.equal(to.received.length, before + 4)

    acting = 204
    await makeDue(database)
    served = await serve(t, root, settings)
    printed.push(served.output)
    await until(async () => {
      const [row] = await database.query<{ open: number }>(
        `select count(*)::integer as open from barriers where callback_state <> 'delivered'`,
      )
      return row?.open === 0
    }, 'every callback is delivered')
  })

  const sent = new Map<string, Set<string>>()
  for (const { headers, body } of to.received) {
    new Webhook(secret).verify(body, headers)
    const id = String(headers['webhook-id'])
    sent.set(id, (sent.get(id) ?? new Set()).add(body))
  }
  t.equal(sent.size, 5 * kills, 'each callback has one id')
  t.ok(
    [...sent.values()].every(bodies => bodies.size === 1),
    'and the same bytes each time',
  )
  const counts = tally(to.received.map(({ headers }) => String(headers['webhook-id'])))
  t.strictSame(
    tally(Object.values(counts).map(String)),
    { 1: kills, 2: 4 * kills },
    'what was not sent arrives once, what was sent and not recorded twice',
  )
  t.strictSame(
    await database.query(
      `select state, succeeded, total, callback_state, count(*)::integer from barriers group by 1, 2, 3, 4`,
    ),
    [{ state: 'completed', succeeded: 1, total: 1, callback_state: 'delivered', count: 5 * kills }],
    'the barriers are right',
  )
  const log = printed.map(output => output()).join('')
  t.match(
    log,
    /"execution_id":"due-0","generation":1,"callback_id":"cb_[^"]+","state":"completed".*A barrier closed/,
  )
  t.match(log, /"callback_id":"cb_[^"]+".*A callback was delivered/)
  t.notMatch(log, /whsec|secret-result|webhook-signature|"token"/, 'the log tells no secret')

  async function close(execution: string): Promise<void> {
    const path = `/executions/${execution}/barrier`
    await call('POST', `${path}/enqueue`, { total: 1, callback: { url: to.url } })
    await call('POST', `${path}/decrement`, { batch_index: 0, result: 'secret-result' })
  }
})

t.test('callbacks of two replicas, of which one is killed half way', async t => {
  const callbacks = times(1_000)
  const database = await freshDatabase(t)
  const settings = { DATABASE_URL: database.url, ROLLCALL_WEBHOOK_SECRET: secret }
  const underWay = new Map<string, number>()
  let atOnce = 0
  const take: Act = (reply, { headers }) => {
    const id = String(headers['webhook-id'])
    const now = (underWay.get(id) ?? 0) + 1
    underWay.set(id, now)
    atOnce = Math.max(atOnce, now)
    reply.on('close', () => underWay.set(id, (underWay.get(id) ?? 0) - 1))
    // No wait of the test's: a receiver that is slower than a lease, so that two sends of one attempt would overlap.
    setTimeout(() => reply.writeHead(204).end(), 25)
  }
  const hosts = await together(16, () => receiver(t, take))
  const received = () => hosts.flatMap(host => host.received)
  const [doomed, other] = await Promise.all([serve(t, root, settings), serve(t, root, settings)])
  const calls = [caller(doomed.url), caller(other.url)]
  const enqueued = rounds(
    callbacks,
    async nth => {
      const path = `/executions/run-${nth}/barrier/enqueue`
      const body = { total: 0, callback: { url: hosts[nth % hosts.length]?.url } }
      // What the dead replica did not answer is asked of the other one.
      await calls[nth % 2]?.('POST', path, body).catch(() => calls[1]?.('POST', path, body))
    },
    { abreast: 20 },
  )
  await until(() => received().length >= callbacks / 2, 'half of them are delivered')
  await doomed.kill()
  await enqueued

  const waiting = async (state: string) => {
    const [row] = await database.query<{ count: number }>(
      `select count(*)::integer from barriers where callback_state = $1`,
      [state],
    )
    return row?.count ?? 0
  }
  await until(async () => (await waiting('due')) === 0, 'nothing is due any more')
  // It ends with what it has under way, so what is leased then was leased by the dead one; those leases are 60 s long.
  other.process.kill('SIGTERM')
  t.equal(await other.exited, 0)
  t.ok((await waiting('delivering')) <= SLOTS, 'no more are leased than are sent')
  await makeDue(database)
  await serve(t, root, settings)
  await until(async () => (await waiting('delivered')) === callbacks, 'every callback is delivered')

  const ids = tally(received().map(({ headers }) => String(headers['webhook-id'])))
  const rows = await database.query<{ callback_id: string }>('select callback_id from barriers')
  t.strictSame(
    new Set(Object.keys(ids)),
    new Set(rows.map(({ callback_id }) => callback_id)),
    'none is lost',
  )
  t.equal(atOnce, 1, 'no attempt was sent twice at the same time')
  t.ok(received().length <= callbacks + SLOTS, `${received().length} deliveries`)
})
