import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import type { Document, Response, Schema } from '../../openapi/document.ts'
import { documents } from '../../openapi/documents.ts'
import type { RefusalCode } from '../../src/refusals.ts'
import { refusals } from '../../src/refusals/table.ts'
import { Contract } from '../fixtures/contract.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..', '..')

const anyRoute: RefusalCode[] = [
  'invalid_request',
  'request_timeout',
  'uri_too_long',
  'expectation_failed',
  'headers_too_large',
]
const probing: RefusalCode[] = [
  ...anyRoute,
  'internal_error',
  'database_unavailable',
  'overloaded',
  'not_ready',
  'draining',
]
const asking: RefusalCode[] = [...probing, 'forbidden']
const withBody: RefusalCode[] = [
  ...asking,
  'payload_too_large',
  'unsupported_media_type',
  'unstorable_json',
]

/** Every route, and every code that it can answer. */
const routes: Record<string, RefusalCode[]> = {
  'get /livez': anyRoute,
  'get /readyz': probing,
  'get /health': probing,
  'post /executions/{execution_id}/batches/{batch_index}/claim': [
    ...withBody,
    'execution_not_found',
    'batch_out_of_range',
  ],
  'post /executions/{execution_id}/batches/claim': withBody,
  'post /executions/{execution_id}/batches/{batch_index}/heartbeat': [
    ...withBody,
    'batch_not_found',
    'stale_token',
    'stale_generation',
    'barrier_closed',
  ],
  'post /executions/{execution_id}/batches/{batch_index}/release': [
    ...withBody,
    'batch_not_found',
    'stale_token',
    'stale_generation',
    'barrier_closed',
  ],
  'post /executions/{execution_id}/batches/{batch_index}/finish': [
    ...withBody,
    'batch_not_found',
    'stale_token',
    'barrier_exists',
  ],
  'get /executions/{execution_id}/batches/{batch_index}': [
    ...asking,
    'batch_not_found',
    'execution_not_found',
    'stale_generation',
    'batches_forgotten',
  ],
  'get /executions/{execution_id}/batches': [
    ...asking,
    'execution_not_found',
    'stale_generation',
    'batches_forgotten',
  ],
  'delete /executions/{execution_id}/batches': [...withBody, 'barrier_open', 'callback_pending'],
  'post /executions/{execution_id}/barrier/enqueue': [
    ...withBody,
    'execution_not_found',
    'barrier_exists',
    'stale_generation',
    'enqueue_mismatch',
    'callback_url_refused',
  ],
  'post /executions/{execution_id}/barrier/decrement': [
    ...withBody,
    'execution_not_found',
    'stale_token',
    'stale_generation',
    'barrier_closed',
    'batch_out_of_range',
  ],
  'post /executions/{execution_id}/barrier/decrements': [
    ...withBody,
    'execution_not_found',
    'stale_generation',
  ],
  'post /executions/{execution_id}/barrier/abort': [
    ...withBody,
    'execution_not_found',
    'stale_generation',
  ],
  'get /executions/{execution_id}/barrier': [...asking, 'execution_not_found', 'stale_generation'],
  'get /executions': asking,
  'post /callbacks/claim': withBody,
  'post /executions/{execution_id}/callback/ack': [
    ...withBody,
    'execution_not_found',
    'callback_not_found',
    'stale_generation',
    'stale_token',
  ],
  'post /executions/{execution_id}/callback/retry': [
    ...withBody,
    'execution_not_found',
    'callback_not_found',
    'stale_generation',
    'stale_token',
  ],
  'post /executions/{execution_id}/callback/redeliver': [
    ...withBody,
    'execution_not_found',
    'callback_not_found',
  ],
  'get /executions/{execution_id}/callback': [
    ...asking,
    'execution_not_found',
    'callback_not_found',
  ],
}

const app = await buildApp(readConfig({ LOG_LEVEL: 'silent' }), { host: '/nowhere' })
t.teardown(() => app.close())

/** tap runs in the folder of the project; the tests lie compiled in another. */
const committed = (name: string) => readFile(join(process.cwd(), 'openapi', name))
const served = async (url: string) => (await app.inject(url)).json<Document>()
const document = await served('/openapi.json')
const twin = await served('/openapi-3.0.json')
const operations = Object.entries(document.paths).flatMap(([template, path]) =>
  Object.entries(path).map(([method, operation]) => ({
    route: `${method} ${template}`,
    method,
    template,
    operation,
  })),
)

t.test('the committed documents are what the routes say; npm run generate writes them', async t => {
  for (const [name, text] of Object.entries(await documents())) {
    t.ok((await committed(name)).toString() === text, name)
  }
})

t.test('what is served is what is committed, byte for byte', async t => {
  for (const [url, name] of Object.entries({
    '/openapi.json': 'openapi.json',
    '/openapi-3.0.json': 'openapi-3.0.json',
    '/docs/json': 'openapi.json',
    '/docs/yaml': 'openapi.yaml',
  })) {
    t.ok((await app.inject(url)).rawPayload.equals(await committed(name)), url)
  }
})

t.test('each route declares exactly the codes that it can answer', async t => {
  const described = operations.map(({ route, operation }) => [
    route,
    new Set(Object.values(operation.responses).flatMap(codesOf)),
  ])
  const wanted = Object.entries(routes).map(([route, codes]) => [route, new Set(codes)])
  t.strictSame(Object.fromEntries(described), Object.fromEntries(wanted))
})

t.test('every code is declared under its own status', async t => {
  const misplaced = operations.flatMap(({ route, operation }) =>
    Object.entries(operation.responses).flatMap(([status, response]) =>
      codesOf(response)
        .filter(code => String(refusals[code].status) !== status)
        .map(code => `${route} ${status} ${code}`),
    ),
  )
  t.strictSame(misplaced, [])
})

t.test('all that is served is documented, but for the document and its pages', async t => {
  const paths = servedPaths().filter(path => !/^\/(docs|openapi)\b/.test(path))
  t.strictSame(new Set(paths), new Set(Object.keys(document.paths)))
})

t.test('the headers that steer a caller are declared where they are sent', async t => {
  const steering = operations.flatMap(({ route, operation }) =>
    Object.entries(operation.responses).flatMap(([status, response]) =>
      Object.entries(resolved(response).headers ?? {})
        .filter(([name]) => name !== 'Cache-Control')
        .map(([name, { required }]) => `${route} ${status} ${name} ${required}`),
    ),
  )
  t.strictSame(
    new Set(steering),
    new Set([
      'post /executions/{execution_id}/batches/{batch_index}/claim 200 Retry-After false',
      'post /executions/{execution_id}/barrier/enqueue 201 Location true',
      ...operations
        .filter(({ operation }) => operation.responses['503'])
        .map(({ route }) => `${route} 503 Retry-After true`),
    ]),
  )
})

t.test('every operation has its own id, a summary, a tag, and words for each reply', async t => {
  const tags = new Set(document.tags.map(({ name }) => name))
  const wanting = operations.filter(({ operation: { summary, tags: own = [], responses } }) => {
    const descriptions = Object.values(responses).map(response => resolved(response).description)
    const described = descriptions.every(words => words !== '' && words !== 'Default Response')
    return !summary || own.length !== 1 || !own.every(tag => tags.has(tag)) || !described
  })
  t.strictSame(wanting, [])
  const ids = new Set(operations.map(({ operation }) => operation.operationId))
  t.equal(ids.size, operations.length)
})

t.test('every request and reply has an example, and each example is one', async t => {
  const contract = new Contract(document)
  for (const { route, method, template, operation } of operations) {
    const requests = operation.requestBody ? [operation.requestBody] : []
    const replies = Object.entries(operation.responses)
    const counts = [...requests, ...replies.map(([, reply]) => resolved(reply))].map(
      body => valuesOf(body).length,
    )
    const wrong = [
      ...requests.flatMap(request =>
        valuesOf(request).map(body => contract.wrongWithRequest(template, method, body)),
      ),
      ...replies.flatMap(([status, reply]) =>
        valuesOf(resolved(reply)).map(body =>
          contract.wrongWithBody(template, method, status, body),
        ),
      ),
    ]
    t.not(Math.min(...counts), 0, `${route} has examples`)
    t.strictSame(new Set(wrong), new Set([undefined]), `${route} has right ones`)
  }
})

t.test('requests take no member that they do not know, replies may gain some', async t => {
  const requests = operations.flatMap(({ operation }) =>
    Object.values(operation.requestBody?.content ?? {}).map(({ schema }) => schema),
  )
  const replies = [document.components, ...operations.map(({ operation }) => operation.responses)]
  const lax = requests.filter(({ additionalProperties }) => additionalProperties !== false)
  const strict = replies.flatMap(schemasIn).filter(schema => 'additionalProperties' in schema)
  t.strictSame({ lax, strict }, { lax: [], strict: [] })
})

for (const [name, one] of Object.entries({ document, 'twin in 3.0': twin })) {
  t.test(`the ${name} lints clean by every recommended rule`, async t => {
    const file = join(t.testdir(), 'openapi.json')
    await writeFile(file, JSON.stringify(one))
    const redocly = join(root, 'node_modules/@redocly/cli/bin/cli.js')
    const { stdout } = await run(
      process.execPath,
      [redocly, 'lint', file, '--extends=recommended-strict', '--format=json'],
      // Alone: no telemetry, no look for a newer version, and none of tap's loaders.
      { env: { REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } },
    ).catch((error: { stdout: string }) => error)
    const { problems } = JSON.parse(stdout) as { problems: { message: string }[] }
    t.strictSame(problems, [])
  })

  t.test(`the ${name} has no reference to nowhere and no unused component`, async t => {
    const references = JSON.stringify(one).matchAll(/"(#\/components\/[^"]+)"/g)
    const referred = new Set([...references].map(([, reference]) => reference))
    const there = Object.entries(one.components).flatMap(([kind, members]) =>
      Object.keys(members).map(member => `#/components/${kind}/${member}`),
    )
    t.strictSame(referred, new Set(there))
  })

  t.test(`the ${name} gives every number a size, and no format a pattern besides`, async t => {
    const wanting = schemasIn(one).filter(({ type = '', format, pattern }) =>
      /integer|number/.test(String(type))
        ? format !== 'int32' && format !== 'int64'
        : format !== undefined && pattern !== undefined,
    )
    t.strictSame(wanting, [])
  })
}

t.test('the twin in 3.0 has nothing that came with 3.1', async t => {
  const newer = schemasIn(twin).filter(
    schema => Array.isArray(schema.type) || 'const' in schema || 'examples' in schema,
  )
  t.strictSame(newer, [])
  const nullable = JSON.stringify(twin).split('"nullable":true').length - 1
  const typed = schemasIn(twin).filter(schema => schema['nullable'])
  t.equal(typed.length, nullable, 'nullable goes with a type')
})

t.test('a reply that the document does not describe fails its test', async t => {
  const contract = new Contract(document)
  const url = '/executions/a/batches/0/claim?x=1'
  const exhausted = {
    outcome: 'exhausted',
    claimed: false,
    settled: true,
    batch_index: 0,
    generation: 1,
    attempt: 5,
  }
  const wrongWith = (status: number, body: object, headers = {}) =>
    contract.wrongWith('POST', url, replyOf(status, body, headers))
  const problem = { 'content-type': 'application/problem+json' }

  t.equal(wrongWith(200, exhausted), undefined)
  t.match(wrongWith(200, { ...exhausted, more: 1 }), /additional properties/)
  t.match(wrongWith(200, { ...exhausted, settled: false }), /settled must be/)
  t.match(wrongWith(202, exhausted), /its statuses are/)
  t.match(wrongWith(200, exhausted, { 'content-type': 'text/html' }), /its content types are/)
  t.match(wrongWith(200, exhausted, { location: '/' }), /the headers location are not in it/)
  t.match(wrongWith(200, exhausted, { 'retry-after': 'soon' }), /has to be a number/)
  t.match(wrongWith(503, {}, problem), /Retry-After has to be there/)
  t.match(wrongWith(404, {}, problem), /required property 'code'/)
  t.match(wrongWith(405, {}, problem), /Allow/)
  t.match(contract.wrongWith('GET', '/nothing', replyOf(200, {})), /no path of it/)
})

function replyOf(statusCode: number, body: object, headers: Record<string, string> = {}) {
  const type = { 'content-type': 'application/json; charset=utf-8' }
  return { statusCode, headers: { ...type, ...headers }, body: JSON.stringify(body) }
}

function resolved(response: Response): Response {
  const name = response.$ref?.split('/').at(-1) ?? ''
  return document.components.responses?.[name] ?? response
}

function codesOf(response: Response): RefusalCode[] {
  const { content = {} } = resolved(response)
  const { properties = {} } = content['application/problem+json']?.schema ?? {}
  return (properties['code']?.enum ?? []) as RefusalCode[]
}

function valuesOf({ content = {} }: Pick<Response, 'content'>): unknown[] {
  return Object.values(content).flatMap(({ examples = {} }) =>
    Object.values(examples).map(({ value }) => value),
  )
}

/** The paths of the router's own tree, in which each line goes on where the one above it ended. */
function servedPaths(): string[] {
  const steps: string[] = []
  return app
    .printRoutes({ commonPrefix: false })
    .split('\n')
    .flatMap(line => {
      const [, indent = '', step = ''] = /^([│ ]*)[├└]── (\S+) \(/.exec(line) ?? []
      if (step === '') return []
      steps.length = indent.length / 4
      steps.push(step)
      return [steps.join('').replaceAll(/:(\w+)/g, '{$1}')]
    })
}

/** Every object that says of which type it is, at any depth; examples are no schemas. */
function schemasIn(value: unknown): Schema[] {
  if (typeof value !== 'object' || value === null) return []
  const inner = Object.entries(value).flatMap(([key, member]) =>
    key === 'examples' || key === 'example' ? [] : schemasIn(member),
  )
  return 'type' in value && (typeof value.type === 'string' || Array.isArray(value.type))
    ? [value as Schema, ...inner]
    : inner
}
