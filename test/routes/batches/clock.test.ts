import t from 'tap'
import { freshDatabase } from '../../fixtures/database.ts'
import { setClockBack } from '../../fixtures/gate.ts'
import { service } from '../../fixtures/service.ts'

const HOUR = 3600

t.test('a lease that begins in the future is over, whoever asks', async t => {
  const database = await freshDatabase(t)
  const s = await service(t, { database })
  await s.enqueue('run', { total: 4, max_attempts: 2 })
  const { token } = (await s.claim('run', 0, { lease_seconds: 5, owner: 'before' })).body
  await s.claim('run', 1, { lease_seconds: 5 })
  await s.claim('run', 2)
  await setClockBack(database, HOUR)
  t.match((await s.barrier('run', '?detail=claims')).body, { claimed: 3, leases_expired: 2 })
  t.match((await s.claim('run', 0, { lease_seconds: 5 })).body, { outcome: 'granted', attempt: 2 })
  t.match((await s.heartbeat('run', 0, { token })).body, { code: 'stale_token' })
  t.match((await s.claim('run', 2)).body, { outcome: 'in_progress' }, 'no lease has no end')
  const claims = await s.call('POST', '/executions/run/batches/claim', { batch_indexes: [1, 2] })
  t.match(claims.body, { claims: [{ outcome: 'granted' }, { outcome: 'in_progress' }] })
})

t.test('a repeat with the key of a grant is a grant of its own once the lease is over', async t => {
  const database = await freshDatabase(t)
  const s = await service(t, { database })
  await s.enqueue('run', { total: 1 })
  const repeat = () => s.claim('run', 0, { lease_seconds: 5 }, 'one-call')
  const { token } = (await repeat()).body
  t.match((await repeat()).body, { token, replayed: true })
  await setClockBack(database, HOUR)
  t.match((await repeat()).body, { outcome: 'granted', attempt: 2, replayed: undefined })
})

t.test('a clock that is put right in small steps ends no lease, and makes none longer', async t => {
  const database = await freshDatabase(t)
  const s = await service(t, { database })
  await s.enqueue('run', { total: 1 })
  await s.claim('run', 0, { lease_seconds: 60 })
  await setClockBack(database, 4)
  const { headers, body } = await s.claim('run', 0)
  t.match(body, { outcome: 'in_progress', retry_after_seconds: 60 })
  t.equal(headers['retry-after'], '60')
})

t.test('a heartbeat begins the lease anew, by the clock as it is now', async t => {
  const database = await freshDatabase(t)
  const s = await service(t, { database })
  await s.enqueue('run', { total: 1 })
  const { token } = (await s.claim('run', 0, { lease_seconds: 5 })).body
  await setClockBack(database, HOUR)
  t.equal((await s.heartbeat('run', 0, { token, lease_seconds: 900 })).status, 200)
  t.match((await s.claim('run', 0)).body, { outcome: 'in_progress', retry_after_seconds: 900 })
})

t.test('the reaper counts a lease that begins in the future as over', async t => {
  const database = await freshDatabase(t)
  const s = await service(t, { database })
  await s.enqueue('tried', { total: 1, max_attempts: 1 })
  await s.enqueue('stuck', { total: 1, stuck_after_seconds: 600 })
  await s.enqueue('held', { total: 1, stuck_after_seconds: 600 })
  for (const execution of ['tried', 'stuck']) await s.claim(execution, 0, { lease_seconds: 5 })
  await setClockBack(database, HOUR)
  await s.claim('held', 0, { lease_seconds: 5 })
  await database.query(
    `update barriers
    set last_progress_at = last_progress_at - interval '1 hour', stuck_check_at = stuck_check_at - interval '1 hour'`,
  )
  t.match((await s.claim('tried', 0)).body, { outcome: 'exhausted' })
  t.equal(await s.app.reaper.exhaustOnce(), 1)
  t.match((await s.batch('tried', 0)).body, { error: { code: 'attempts_exhausted' } })
  t.equal(await s.app.reaper.closeStuckOnce(), 2, 'looked at')
  t.match((await s.barrier('stuck')).body, { state: 'expired', reason: 'stuck' })
  t.match((await s.barrier('held')).body, { state: 'open' })
})
