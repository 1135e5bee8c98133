import t from 'tap'
import { clonedDatabase, type Database } from '../fixtures/database.ts'
import { until } from '../fixtures/gate.ts'
import { type Service, service } from '../fixtures/service.ts'

const executions = ['a', 'b', 'c', 'd', 'e']
const allEnds = { queue: 'ends', events: ['completed', 'aborted', 'expired'] }

interface Failing {
  /** What is due of each execution, before time passes. */
  given: (s: Service, execution: string) => Promise<unknown>
  step: (s: Service) => Promise<number>
  /** The write of the step that fails for one execution. */
  write: 'update on barriers' | 'update on batches' | 'delete on batches' | 'delete on barriers'
  /** The executions that the step has not done. */
  left: string
}

const undone: Readonly<Record<string, Failing>> = {
  expire: {
    given: (s, execution) => s.enqueue(execution, { total: 1, stuck_after_seconds: 2_592_000 }),
    step: s => s.app.reaper.expireOnce(),
    write: 'update on barriers',
    left: `select execution_id from barriers where state = 'open'`,
  },
  stuck: {
    given: (s, execution) => s.enqueue(execution, { total: 1 }),
    step: s => s.app.reaper.closeStuckOnce(),
    write: 'update on barriers',
    left: `select execution_id from barriers where state = 'open'`,
  },
  exhaust: {
    given: async (s, execution) => {
      await s.enqueue(execution, { total: 2, max_attempts: 1 })
      await s.claim(execution, 0, { lease_seconds: 5 })
    },
    step: s => s.app.reaper.exhaustOnce(),
    write: 'update on batches',
    left: `select execution_id from batches where state = 'claimed'`,
  },
  'end leases': {
    given: async (s, execution) => {
      await s.enqueue(execution, { total: 0, callback: allEnds })
      await s.database.query(
        `update barriers
        set callback_state = 'delivering', callback_token = '1.1.x', callback_attempt = 1, callback_message = '{}',
          callback_leased_at = now() + interval '4 years', callback_due_at = now() + interval '4 years'
        where execution_id = $1`,
        [execution],
      )
    },
    step: s => s.app.reaper.endLeasesOnce(),
    write: 'update on barriers',
    left: `select execution_id from barriers where callback_due_at > clock_timestamp()`,
  },
  'give up': {
    given: (s, execution) => s.enqueue(execution, { total: 0, callback: allEnds }),
    step: s => s.app.reaper.giveUpOnce(),
    write: 'update on barriers',
    left: `select execution_id from barriers where callback_state = 'due'`,
  },
  'forget claims': {
    given: (s, execution) => s.claim(execution, 0, { lease_seconds: 5 }),
    step: s => s.app.reaper.forgetClaimsOnce(),
    write: 'delete on batches',
    left: 'select execution_id from batches',
  },
  'forget replaced': {
    given: async (s, execution) => {
      await s.enqueue(execution, { total: 1 })
      await s.claim(execution, 0)
      await s.enqueue(execution, { total: 2, conflict_policy: 'replace' })
    },
    step: s => s.app.reaper.forgetReplacedOnce(),
    write: 'delete on batches',
    left: 'select execution_id from batches',
  },
  'forget batches': {
    given: async (s, execution) => {
      await s.enqueue(execution, { total: 1 })
      await s.decrement(execution, { batch_index: 0 })
    },
    step: s => s.app.reaper.forgetBatchesOnce(),
    write: 'delete on batches',
    left: 'select execution_id from batches',
  },
  'free barriers of their batches': {
    given: (s, execution) => s.enqueue(execution, { total: 0 }),
    step: s => s.app.reaper.forgetBatchesOnce(),
    write: 'update on barriers',
    left: 'select execution_id from barriers where batches_kept',
  },
  'forget barriers': {
    given: (s, execution) => s.enqueue(execution, { total: 0 }),
    step: async s =>
      (await s.app.reaper.forgetBatchesOnce()) + (await s.app.reaper.forgetBarriersOnce()),
    write: 'delete on barriers',
    left: 'select execution_id from barriers',
  },
}

for (const [name, { given, step, write, left }] of Object.entries(undone)) {
  t.test(`${name}: a row that fails holds up no other, and is done once it can be`, async t => {
    const database = await clonedDatabase(t)
    const s = await service(t, { database })
    for (const execution of executions) await given(s, execution)
    await passYears(database)
    const leftNow = async () => {
      const rows = await database.query<{ execution_id: string }>(`${left} order by 1`)
      return rows.map(({ execution_id }) => execution_id)
    }
    t.strictSame(await leftNow(), executions)
    const on = write.startsWith('delete') ? 'old' : 'new'
    await database.query(
      `create function fail() returns trigger language plpgsql
      as $$ begin raise exception 'a bad page'; end $$;
      create trigger failing before ${write} for each row when (${on}.execution_id = 'c')
      execute function fail()`,
    )
    t.ok((await step(s)) > 0)
    // A turn is bounded where nothing fails in it.
    await step(s)
    t.strictSame(await leftNow(), ['c'])
    await database.query('drop function fail cascade')
    // The rows that were passed over are tried again once there is nothing else.
    await step(s)
    await step(s)
    t.strictSame(await leftNow(), [])
  })
}

t.test('rows that fail one after the other hold up no stop', async t => {
  const database = await clonedDatabase(t)
  const s = await service(t, { database })
  for (const execution of executions) await s.enqueue(execution, { total: 1 })
  await passYears(database)
  const gate = await database.pool.connect()
  t.teardown(() => gate.release(true))
  await gate.query('select pg_advisory_lock(1)')
  await database.query(
    `create sequence failures;
    create function fail() returns trigger language plpgsql
    as $$ begin
      perform nextval('failures');
      perform pg_advisory_xact_lock(1);
      raise exception 'a bad page';
    end $$;
    create trigger failing before update on barriers for each row execute function fail()`,
  )
  const turn = s.app.reaper.expireOnce()
  await until(async () => {
    const atGate = await database.query(
      `select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory'`,
    )
    return atGate.length > 0
  }, 'a statement is under way')
  const stopped = s.app.reaper.stop()
  await gate.query('select pg_advisory_unlock(1)')
  t.equal(await turn, 0)
  await stopped
  t.strictSame(await database.query('select last_value::integer as failures from failures'), [
    { failures: 1 },
  ])
})

async function passYears(database: Database): Promise<void> {
  await database.query(
    `update barriers set created_at = created_at - past, last_progress_at = last_progress_at - past,
      expires_at = expires_at - past, stuck_check_at = stuck_check_at - past, closed_at = closed_at - past,
      callback_due_at = callback_due_at - past
    from make_interval(years => 3) as past`,
  )
  await database.query(
    `update batches set claimed_at = claimed_at - past, lease_expires_at = lease_expires_at - past,
      last_seen_at = last_seen_at - past
    from make_interval(years => 3) as past`,
  )
}
