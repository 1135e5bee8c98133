import t from 'tap'
import type { Document } from '../../openapi/document.ts'
import { Contract } from '../fixtures/contract.ts'
import { service } from '../fixtures/service.ts'

const run = '/executions/{execution_id}'
const url = 'https://example.com/hook'

/** Bodies that go, and bodies of the same members that do not go together, or hold what nobody may send. */
const bodies: Record<string, { taken: object[]; refused: object[] }> = {
  [`${run}/barrier/enqueue`]: {
    taken: [
      { total: 1, tolerated_failure_count: 1 },
      { total: 1, tolerated_failure_percentage: 1 },
      { total: 1, callback: { url } },
      { total: 1, callback: { queue: 'q' } },
      { total: 1, conflict_policy: 'replace', generation: 1 },
    ],
    refused: [
      { total: 1, tolerated_failure_count: 1, tolerated_failure_percentage: 1 },
      { total: 1, callback: { url, queue: 'q' } },
      { total: 1, callback: {} },
      { total: 1, callback: { events: ['completed'] } },
      { total: 1, generation: 1 },
      { total: 1, conflict_policy: 'fail', generation: 1 },
      { total: 1, callback: { queue: 'a\0' } },
      { total: 1, callback: { queue: 'q', task_name: '\u001b[31m' } },
    ],
  },
  [`${run}/barrier/decrement`]: {
    taken: [
      { batch_index: 0, result: null },
      { batch_index: 0, status: 'succeeded', result: [1] },
      { batch_index: 0, status: 'failed', error: {} },
      { batch_index: 0, status: 'failed' },
    ],
    refused: [
      { batch_index: 0, error: 'no' },
      { batch_index: 0, status: 'succeeded', error: 'no' },
      { batch_index: 0, status: 'failed', result: 1 },
      { batch_index: 0, status: 'failed', result: 1, error: 'no' },
      { batch_index: 0, result: 1, error: 'no' },
      { batch_index: 0, token: 'a\0' },
    ],
  },
  [`${run}/barrier/decrements`]: {
    taken: [{ batches: [{ batch_index: 0, status: 'failed', error: 1 }] }],
    refused: [
      { batches: [{ batch_index: 0, status: 'failed', result: 1 }] },
      { batches: [{ batch_index: 1 }, { batch_index: 0, error: 1 }] },
    ],
  },
  [`${run}/batches/{batch_index}/finish`]: {
    taken: [{ token: 'a', result: 1 }],
    refused: [
      { token: 'a', error: 1 },
      { token: 'a', status: 'failed', result: 1 },
      { token: 'a\0b', result: 1 },
    ],
  },
  [`${run}/barrier/abort`]: {
    taken: [{ reason: 'Enough.' }],
    refused: [{ reason: '\u202eEnough.' }, { reason: '\0' }],
  },
  [`${run}/callback/retry`]: {
    taken: [{ token: 'a', error: 'two\nlines' }],
    refused: [{ token: 'a', error: 'a\0' }],
  },
}

t.test('the document refuses the bodies that the service refuses, and no others', async t => {
  const { app, call } = await service(t)
  for (const document of await documents()) {
    const contract = new Contract(document)
    for (const [path, { taken, refused }] of Object.entries(bodies)) {
      const ask = (body: object) =>
        call('POST', path.replace('{execution_id}', 'run').replace('{batch_index}', '0'), body)
      for (const [body, wanted] of [
        ...taken.map(one => [one, 'taken'] as const),
        ...refused.map(one => [one, 'refused'] as const),
      ]) {
        const { status, body: reply } = await ask(body)
        const judged = status === 400 || reply.code === 'unstorable_json' ? 'refused' : 'taken'
        const described = contract.wrongWithRequest(path, 'post', body)
        t.strictSame(
          { judged, described: described === undefined ? 'taken' : 'refused' },
          { judged: wanted, described: wanted },
          `${document.openapi} ${path} ${JSON.stringify(body)}`,
        )
      }
    }
  }

  async function documents(): Promise<Document[]> {
    const served = ['/openapi.json', '/openapi-3.0.json']
    return Promise.all(served.map(async at => (await app.inject(at)).json<Document>()))
  }
})

t.test('the document refuses the names of runs that mean another path', async t => {
  const { app } = await service(t)
  const { paths } = (await app.inject('/openapi.json')).json<Document>()
  const parameters = Object.values(paths)
    .flatMap(path => Object.values(path))
    .flatMap(operation => operation.parameters ?? [])
    .filter(({ name }) => name === 'execution_id')
  t.ok(parameters.length > 5)
  for (const { schema } of parameters) t.strictSame(schema['not'], { enum: ['.', '..'] })
})
