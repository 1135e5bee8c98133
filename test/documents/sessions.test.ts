import { execFile } from 'node:child_process'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import t from 'tap'
import { document } from '../fixtures/documents.ts'
import { has } from '../fixtures/programs.ts'
import { type Service, service } from '../fixtures/service.ts'

const run = promisify(execFile)
const readme = await document('README.md')
const quickstart = await document('docs/quickstart.md')

t.test('the first calls of the README are answered as it says', async t => {
  if (!(await has(t, 'bash', 'curl'))) return
  const [, script = ''] = /^```sh first\n(.*?)^```$/ms.exec(readme) ?? []
  const shown = [...script.matchAll(/^# -> (.*)$/gm)].map(([, answer = '']) => answer)
  t.equal(shown.length, 4)
  const { stdout } = await run('bash', ['-euc', await here(await service(t), script)])
  const printed = stdout.trimEnd().split('\n')
  t.equal(printed.length, shown.length)
  for (const [nth, answer] of shown.entries()) {
    const pieces = answer.split('…').map(piece => piece.trim())
    t.match(printed[nth], new RegExp(`^${pieces.map(literal).join('.*')}`), answer)
  }
})

t.test('the session of the quickstart prints what it says', async t => {
  if (!(await has(t, 'bash', 'curl', 'sed'))) return
  const blocks = [...quickstart.matchAll(/^```sh session\n(.*?)^```\n\n```json\n(.*?)^```$/gms)]
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

function literal(text: string): string {
  return text.replaceAll(/[{}[\]()^$.|*+?\\]/g, String.raw`\$&`)
}
