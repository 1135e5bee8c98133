import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { MOST_MEMBERS } from '../../src/json/rules.ts'
import { inSql, limits } from '../../openapi/limits.ts'
import type { Document } from '../../openapi/document.ts'
import { MOST_PULLED } from '../../src/routes/callbacks/claim.ts'
import { MOST_OF_PAGE, MOST_WAIT_SECONDS } from '../../src/routes/parameters.ts'

const text = (path: string) => readFile(join(process.cwd(), path), 'utf8')

t.test('what the table of limits says of statements is what they do', async t => {
  const { countedClaims, pageBytes, forgottenBytes } = inSql
  const bounds: Record<string, RegExp> = {
    'routes/barriers/get.sql': new RegExp(`limit ${countedClaims}\\b`),
    'routes/batches/list.sql': new RegExp(`<= ${pageBytes}\\b`),
    'routes/batches/clear.sql': new RegExp(`<= ${forgottenBytes}\\b`),
    'loops/reaper/forget-claims.sql': new RegExp(`<= ${forgottenBytes}\\b`),
    'loops/reaper/forget-replaced.sql': new RegExp(`<= ${forgottenBytes}\\b`),
    'loops/reaper/forget-batches.sql': new RegExp(`<= ${forgottenBytes}\\b`),
    'loops/reaper/forget-barriers.sql': new RegExp(`<= ${forgottenBytes}\\b`),
  }
  for (const [path, bound] of Object.entries(bounds)) t.match(await text(`src/${path}`), bound)
})

t.test('what it says of members is what the document says', async t => {
  const { paths } = JSON.parse(await text('openapi/openapi.json')) as Document
  const at = (path: string, method: string) => {
    const { requestBody, parameters = [] } = paths[path]?.[method] ?? {}
    const { properties = {} } = requestBody?.content['application/json']?.schema ?? {}
    return { ...properties, ...Object.fromEntries(parameters.map(one => [one.name, one.schema])) }
  }
  const run = '/executions/{execution_id}'
  t.match(at('/callbacks/claim', 'post'), {
    limit: { maximum: MOST_PULLED },
    wait_seconds: { maximum: MOST_WAIT_SECONDS },
  })
  t.match(at(`${run}/barrier`, 'get'), { wait_seconds: { maximum: MOST_WAIT_SECONDS } })
  t.match(at('/executions', 'get'), { limit: { maximum: MOST_OF_PAGE } })
  t.match(at(`${run}/batches`, 'get'), { limit: { maximum: MOST_OF_PAGE } })
  t.match(at(`${run}/batches/claim`, 'post'), { batch_indexes: { maxItems: MOST_MEMBERS } })
  t.match(at(`${run}/barrier/decrements`, 'post'), { batches: { maxItems: MOST_MEMBERS } })
})

t.test(
  'each limit is said once, with a number for one or for all, and what is beyond it',
  async t => {
    t.equal(new Set(limits.map(([what]) => what)).size, limits.length)
    for (const row of limits) {
      const [what = '', one = '', all = '', beyond = ''] = row
      t.equal(row.length, 5, what)
      t.ok(one !== '' || all !== '', what)
      t.not(beyond, '', what)
    }
  },
)
