import t from 'tap'
import { filledReference } from '../../openapi/tables.ts'
import { readConfig } from '../../src/config.ts'
import { sessionSettings } from '../../src/database/connect.ts'
import { document } from '../fixtures/documents.ts'

const reference = await document('docs/reference.md')

t.test('the reference is what the source says; npm run generate writes it', async t => {
  t.equal(reference, await filledReference())
})

t.test('the reference names every route, setting and refusal once', async t => {
  for (const [mark, one] of [
    ['routes', 'POST /executions/{execution_id}/barrier/decrement'],
    ['settings', 'DATABASE_URL'],
    ['refusals', 'stale_token'],
  ] as const) {
    const [, block = ''] =
      new RegExp(`<!-- ${mark}: generated -->(.*)<!-- ${mark}: end -->`, 's').exec(reference) ?? []
    const names = [...block.matchAll(/^[|-] `(.+?)`/gm)].map(([, name]) => name)
    t.ok(names.includes(one))
    t.strictSame(names, [...new Set(names)])
  }
})

t.test('the role behind a pooler has the settings that a connection is given', async t => {
  const operations = await document('docs/operations.md')
  const ofRole = [...operations.matchAll(/^alter role rollcall (set .*;)$/gm)].map(([, set]) => set)
  t.equal(ofRole.join(' '), sessionSettings(readConfig({})))
})
