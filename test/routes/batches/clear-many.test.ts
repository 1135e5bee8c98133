import t from 'tap'
import { service } from '../../fixtures/service.ts'

const s = await service(t)

const countOf = async (execution: string) => {
  const rows = await s.database.query('select from batches where execution_id = $1', [execution])
  return rows.length
}

const claims = (execution: string, count: number) =>
  s.database.query(
    `insert into batches (execution_id, generation, batch_index, state, attempt, token)
    select $1, 0, index, 'claimed', 1, '0.1.x' from generate_series(0, $2::integer - 1) as index`,
    [execution, count],
  )

t.test('many are cleared in steps', async t => {
  await claims('steps', 200_001)
  t.strictSame((await s.clear('steps')).body, { cleared: 200_001 })
  t.equal(await countOf('steps'), 0)
})

t.test('a clear that stops between two steps says so, and can be repeated', async t => {
  await claims('half', 150_000)
  const holder = await s.database.pool.connect()
  t.teardown(() => holder.release())
  await holder.query('begin')
  await holder.query(
    `select from batches where execution_id = 'half' and batch_index = 140000 for update`,
  )
  const { status, body } = await s.clear('half')
  t.equal(status, 503)
  t.match(body, { code: 'overloaded', effect: 'unknown' })
  t.equal(await countOf('half'), 10_000)
  await holder.query('rollback')
  t.strictSame((await s.clear('half')).body, { cleared: 10_000 })
})
