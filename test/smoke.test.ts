import t from 'tap'
import { service } from './fixtures/service.ts'

t.test('smoke', async t => {
  const s = await service(t)
  t.equal((await s.enqueue('a', { total: 2 })).status, 201)
  t.equal((await s.claim('a', 0)).body.outcome, 'granted')
  t.match((await s.decrements('a', { batches: [{ batch_index: 0 }, { batch_index: 1 }] })).body, { state: 'completed' })
})
