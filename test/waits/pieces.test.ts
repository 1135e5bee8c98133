import t, { type Test } from 'tap'
import { clonedDatabase } from '../fixtures/database.ts'
import { type Service, service } from '../fixtures/service.ts'

const names = ['a', 'b', 'c', 'd', 'e']
const DEADLINE_MS = 20_000

/** Reading a barrier fails whose `column` is c, as on a bad page. */
async function failing(t: Test, column: 'execution_id' | 'callback_queue'): Promise<Service> {
  const database = await clonedDatabase(t)
  // Its hints end with it, so that what is heard later is what was looked for.
  const before = await service(t, { database })
  for (const name of names) await before.enqueue(name, { total: 0, callback: { queue: name } })
  await before.app.close()
  await database.query(
    `create function reads(text) returns boolean language plpgsql
    as $$ begin if $1 = 'c' then raise exception 'a bad page'; end if; return true; end $$;
    alter table barriers rename to pages;
    create view barriers as select * from pages where reads(${column})`,
  )
  return service(t, { database })
}

/** Which of them were told while the query for all fails, once those that may be told were. */
async function told(waits: Record<string, { woken: Promise<boolean>; leave: () => void }>) {
  const { c, ...others } = waits
  const heard = await Promise.all(Object.values(others).map(({ woken }) => woken))
  c?.leave()
  return { others: heard, c: await c?.woken }
}

t.test(
  'a caller that waits for an end hears of it, though that of another cannot be read',
  async t => {
    const { app } = await failing(t, 'execution_id')
    const deadline = performance.now() + DEADLINE_MS
    const waits = names.map(execution_id => {
      const { woken, leave } = app.ends.wait({ namespace: '', execution_id })
      return [execution_id, { woken: woken(1, deadline), leave }] as const
    })
    await app.ends.lookOnce()
    t.strictSame(await told(Object.fromEntries(waits)), {
      others: [true, true, true, true],
      c: false,
    })
  },
)

t.test('a caller that waits at a queue hears of it, though another cannot be read', async t => {
  const { app } = await failing(t, 'callback_queue')
  const deadline = performance.now() + DEADLINE_MS
  const waits = names.map(queue => {
    const { woken, leave } = app.queues.wait({ namespace: '', queue })
    return [queue, { woken: woken(deadline), leave }] as const
  })
  await app.queues.lookOnce()
  t.strictSame(await told(Object.fromEntries(waits)), {
    others: [true, true, true, true],
    c: false,
  })
})
