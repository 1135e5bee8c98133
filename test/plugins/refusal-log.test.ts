import type { FastifyBaseLogger } from 'fastify'
import t from 'tap'
import { RefusalLog } from '../../src/plugins/refusal-log.ts'
import { overloaded, Refusal } from '../../src/refusals.ts'
import { until } from '../fixtures/gate.ts'

t.test('a flood of refusals is a line a second for each code, without a stack', async t => {
  const lines: unknown[] = []
  const log = { warn: (bindings: object) => lines.push(bindings) } as unknown as FastifyBaseLogger
  const own = new RefusalLog()
  for (let nth = 0; nth < 1_000; nth += 1) own.tell(log, overloaded())
  const cause = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
  own.tell(log, new Refusal('database_unavailable', {}, { cause }))
  t.strictSame(lines, [
    { code: 'overloaded' },
    { code: 'database_unavailable', reason: 'ECONNREFUSED' },
  ])
  await until(() => lines.length === 3, 'what was held back is counted')
  t.strictSame(lines[2], { code: 'overloaded', count: 999 })
  own.tell(log, overloaded())
  t.equal(lines.length, 3, 'and the next second begins')
})
