import t from 'tap'
import { ask } from '../../src/database/statement.ts'
import { freshDatabase } from '../fixtures/database.ts'
import { statements } from '../fixtures/gate.ts'
import { type Service, service } from '../fixtures/service.ts'

/** The default of ROLLCALL_RESULT_LIMIT_BYTES, and what a step forgets at most: one would take all of them, if it counted rows alone. */
const RESULT_BYTES = 256 * 1024
const STEP_BYTES = 32 * 1024 * 1024
const FIRST = Math.floor(STEP_BYTES / RESULT_BYTES)
const RESULTS = FIRST + 20

interface Forgotten {
  generation: number
  /** What makes the results old. */
  given: (s: Service) => Promise<unknown>
  step: (s: Service) => Promise<number>
}

const run = 'run'
const past = `interval '3 years'`

const closed = async (s: Service) => {
  await s.enqueue(run, { total: 0 })
  await s.database.query(
    `update barriers set created_at = created_at - ${past}, closed_at = closed_at - ${past}`,
  )
}

const forgotten: Readonly<Record<string, Forgotten>> = {
  'a clear': {
    generation: 1,
    given: closed,
    step: async s => {
      const asked = { namespace: '', execution_id: run, most: 20_000 }
      const [step] = await ask<{ cleared: number }>(s.app.database, statements.clear, [asked])
      return step?.cleared ?? 0
    },
  },
  'retention of claims': {
    generation: 0,
    given: async () => undefined,
    step: s => s.app.reaper.forgetClaimsOnce(),
  },
  'retention of replaced generations': {
    generation: 1,
    given: async s => {
      await s.enqueue(run, { total: 0 })
      await s.enqueue(run, { total: 0, conflict_policy: 'replace' })
      await s.database.query(`update barriers set created_at = created_at - ${past}`)
    },
    step: s => s.app.reaper.forgetReplacedOnce(),
  },
  'retention of closed barriers': {
    generation: 1,
    given: closed,
    step: s => s.app.reaper.forgetBatchesOnce(),
  },
  'retention of tombstones': {
    generation: 1,
    given: async s => {
      await closed(s)
      // As a clear leaves it that did not come to its end.
      await s.database.query('update barriers set batches_kept = false')
    },
    step: s => s.app.reaper.forgetBarriersOnce(),
  },
}

for (const [name, { generation, given, step }] of Object.entries(forgotten)) {
  t.test(`${name}: a step forgets 32 MiB of results at most`, async t => {
    const s = await service(t, { database: await freshDatabase(t) })
    await given(s)
    await s.database.query(
      `insert into batches (
        execution_id, generation, batch_index, state, attempt, token, claimed_at, last_seen_at, recorded_nonce,
        recorded_at, result, outcome_bytes
      )
      select $1, $2::integer, n, 'succeeded', 1, $2 || '.1.x', moment, moment, 'x', moment, result, octet_length(result::text)
      from generate_series(1, $3::integer) as n,
        (select now() - ${past}, to_json(repeat('x', $4::integer - 2))) as old (moment, result)`,
      [run, generation, RESULTS, RESULT_BYTES],
    )
    t.equal(await step(s), FIRST)
    t.equal(await step(s), RESULTS - FIRST)
    t.strictSame(await s.database.query('select from batches'), [])
  })
}

t.test('one result that is larger than a step goes alone', async t => {
  const s = await service(t, { database: await freshDatabase(t) })
  await s.database.query(
    `insert into batches (
      execution_id, generation, batch_index, state, attempt, token, claimed_at, last_seen_at, recorded_nonce, recorded_at,
      result, outcome_bytes
    )
    select 'run', 0, n, 'succeeded', 1, '0.1.x', moment, moment, 'x', moment, result, octet_length(result::text)
    from generate_series(1, 2) as n,
      (select now() - ${past}, to_json(repeat('x', $1::integer))) as old (moment, result)`,
    [STEP_BYTES],
  )
  t.equal(await s.app.reaper.forgetClaimsOnce(), 1)
  t.equal(await s.app.reaper.forgetClaimsOnce(), 1)
})
