import { execFile } from 'node:child_process'
import { access, readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { filledReadme } from '../../openapi/tables.ts'
import { readConfig } from '../../src/config.ts'
import { sessionSettings } from '../../src/database/connect.ts'
import { has } from '../fixtures/programs.ts'
import { type Service, service } from '../fixtures/service.ts'

const run = promisify(execFile)
/** tap runs in the folder of the project; the tests lie compiled in another. */
const root = process.cwd()
const documents = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md']
const readme = await readFile(join(root, 'README.md'), 'utf8')

t.test(
  'the tables of the README are those of the source; npm run generate writes them',
  async t => {
    t.equal(readme, await filledReadme())
  },
)

t.test('the tables of the README name every route, setting and refusal once', async t => {
  for (const [mark, one] of [
    ['routes', 'POST /executions/{execution_id}/barrier/decrement'],
    ['settings', 'DATABASE_URL'],
    ['refusals', 'stale_token'],
  ] as const) {
    const rows = between(`<!-- ${mark}: generated -->`, `<!-- ${mark}: end -->`)
    const names = [...rows.matchAll(/^\| `(.+?)`/gm)].map(([, name]) => name)
    t.ok(names.includes(one))
    t.strictSame(names, [...new Set(names)])
  }
})

t.test('the role behind a pooler has the settings that a connection is given', async t => {
  const ofRole = [...readme.matchAll(/^alter role rollcall (set .*;)$/gm)].map(([, set]) => set)
  t.equal(ofRole.join(' '), sessionSettings(readConfig({})))
})

t.test('the session of the README prints what it says', async t => {
  if (!(await has(t, 'bash', 'curl', 'sed'))) return
  const blocks = [...readme.matchAll(/^```sh session\n(.*?)^```\n\n```json\n(.*?)^```$/gms)]
  t.ok(blocks.length > 5)
  const script = blocks.map(([, commands]) => `${commands}\necho '--- next'\n`).join('')
  const { stdout } = await run('bash', ['-euc', await here(await service(t), script)])
  const printed = stdout.split('--- next\n').slice(0, -1)
  t.strictSame(
    printed.map(text => steady(JSON.parse(text))),
    blocks.map(([, , json = '']) => steady(JSON.parse(json))),
  )
})

t.test(
  'the worker of the README counts each batch once and gives back what it may not do',
  async t => {
    if (!(await has(t, 'python3'))) return
    const replica = await service(t)
    const [, worker = ''] = /^```python\n(.*?)^```$/ms.exec(readme) ?? []
    await replica.enqueue('run', { total: 3 })
    await replica.claim('run', 2, { lease_seconds: 60 })

    const { stdout } = await run('python3', [
      '-c',
      await here(
        replica,
        `
import types
ROLLCALL = "127.0.0.1:8080"
def message(index, generation=1):
    acknowledge = lambda: print(index, "acknowledged")
    give_back = lambda seconds: print(index, "given back")
    dead_letter = lambda: print(index, "dead")
    return types.SimpleNamespace(run="run", index=index, generation=generation, acknowledge=acknowledge, give_back=give_back, dead_letter=dead_letter)
queue = [message(0), message(0), message(1), message(2), message(0, 7), message(3)]
def work(message):
    print(message.index, "worked on")
    return {"index": message.index}
${worker}`,
      ),
    ])
    t.strictSame(stdout.trim().split('\n'), [
      '0 worked on',
      '0 acknowledged',
      '0 acknowledged',
      '1 worked on',
      '1 acknowledged',
      '2 given back',
      '0 given back',
      '3 dead',
    ])
    t.match((await replica.barrier('run')).body, { state: 'open', succeeded: 2, remaining: 1 })
    t.match((await replica.batch('run', 1)).body, { state: 'succeeded', result: { index: 1 } })
  },
)

t.test('every npm command of the documents is a script', async t => {
  const manifest: { scripts: Record<string, string> } = JSON.parse(
    await readFile(join(root, 'package.json'), 'utf8'),
  )
  for (const document of documents) {
    const text = await readFile(join(root, document), 'utf8')
    for (const [, name = ''] of text.matchAll(/npm (?:run )?(?!ci\b|run\b)(\w+)/g)) {
      t.type(manifest.scripts[name], 'string', `${document}: npm run ${name}`)
    }
  }
})

t.test('every link and file that the documents name is there', async t => {
  for (const document of documents) {
    const text = await readFile(join(root, document), 'utf8')
    const links = text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)
    const files = text.matchAll(/`((?:src|test|migrations|openapi)\/[\w./-]*)`/g)
    for (const [, path = ''] of [...links, ...files]) {
      await t.resolves(access(join(root, path)), `${document}: ${path}`)
    }
  }
})

function between(begin: string, end: string): string {
  return readme.slice(readme.indexOf(begin), readme.indexOf(end))
}

/** The script with the address of a service that really listens in place of the README's. */
async function here({ app }: Service, script: string): Promise<string> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return script.replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`)
}

/** What is the same in every session: all but moments, tokens and names. */
function steady(reply: unknown): unknown {
  const text = JSON.stringify(reply)
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'moment')
    .replaceAll(/"(\d+\.\d+)\.[\w-]{22,32}"/g, '"$1.random"')
    .replaceAll(/cb_[\w-]{22}/g, 'cb_random')
    .replaceAll(/invoices-\d+/g, 'invoices')
    .replaceAll(/"retry_after_seconds":(?:59|60)/g, '"retry_after_seconds":60')
  return JSON.parse(text)
}
