import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { Guard } from '../../src/webhook/guard.ts'
import { Sender } from '../../src/webhook/post.ts'
import { resolver } from '../../src/webhook/resolver.ts'
import { secret } from '../fixtures/delivery.ts'
import { type Answer, nameServer } from '../fixtures/name-server.ts'
import { receiver } from '../fixtures/receiver.ts'

const nowhere = '/dev/null'

/** Resolves by a name server of the test's own. */
async function resolverOf(
  t: Test,
  answer: Answer,
  options: Partial<Parameters<typeof resolver>[0]> = {},
) {
  const servers = [await nameServer(t, answer)]
  return resolver({ isKnownHere: () => false, servers, hostsFile: nowhere, ...options })
}

t.test('a name has the addresses that DNS gives it', async t => {
  const resolve = await resolverOf(t, name => (name === 'a.example' ? '192.0.2.1' : 'unknown'))
  t.strictSame(await resolve('a.example'), [{ address: '192.0.2.1', family: 4 }])
  t.strictSame(await resolve('a.example.'), [{ address: '192.0.2.1', family: 4 }])
  await t.rejects(resolve('b.example'), { code: 'ENOTFOUND' })
})

t.test('names under localhost are loopback, whatever DNS says', async t => {
  const resolve = await resolverOf(t, () => '192.0.2.1')
  const loopback = [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ]
  for (const name of ['localhost', 'LOCALHOST', 'localhost.', 'a.localhost']) {
    t.strictSame(await resolve(name), loopback, name)
  }
  t.strictSame(await resolve('notlocalhost'), [{ address: '192.0.2.1', family: 4 }])
})

t.test('/etc/hosts comes before DNS', async t => {
  const hostsFile = join(t.testdir(), 'hosts')
  await writeFile(
    hostsFile,
    '# 10.0.0.9 hooks\n10.0.0.1\thooks.internal  Hooks # 10.0.0.2 other\nfd00::1 hooks\n\n',
  )
  const resolve = await resolverOf(t, () => 'unknown', { hostsFile })
  t.strictSame(await resolve('hooks.internal'), [{ address: '10.0.0.1', family: 4 }])
  t.strictSame(await resolve('HOOKS.'), [
    { address: '10.0.0.1', family: 4 },
    { address: 'fd00::1', family: 6 },
  ])
  for (const name of ['other', '10.0.0.2', '#', '']) {
    await t.rejects(resolve(name), Error, name)
  }
})

t.test('only what DNS does not know and the operator does is asked of the system', async t => {
  const asked: string[] = []
  const answers: Record<string, string> = { silent: 'silent', failing: 'failing' }
  const resolve = await resolverOf(
    t,
    (name, family) =>
      answers[name.split('.')[0] ?? ''] ??
      (name.startsWith('half') && family === 6 ? 'silent' : 'unknown'),
    { isKnownHere: name => asked.push(name) > 0 && !name.startsWith('stranger'), deadline_ms: 200 },
  )
  for (const name of ['silent.example', 'half.example']) {
    await t.rejects(resolve(name), { code: /ECANCELLED|ENOTFOUND/, syscall: /^query/ }, name)
  }
  await t.rejects(resolve('stranger.invalid'), { code: 'ENOTFOUND', syscall: /^query/ })
  asked.length = 0
  for (const name of ['name.invalid', 'failing.invalid']) {
    await t.rejects(resolve(name), /getaddrinfo/, name)
  }
  t.strictSame(asked, ['name.invalid', 'failing.invalid'])
})

t.test('a name has the addresses of both families, and each is judged', async t => {
  const resolve = await resolverOf(t, name =>
    name === 'six.example' ? '2606:4700::1111' : '8.8.8.8 2606:4700::1111 fd00::1',
  )
  t.strictSame(await resolve('six.example'), [{ address: '2606:4700::1111', family: 6 }])
  const lookup = promisify(new Guard({ allow: [], loopback: false, resolve }).lookupFor('https:'))
  t.strictSame(await lookup('six.example', { all: true }), [
    { address: '2606:4700::1111', family: 6 },
  ])
  await t.rejects(lookup('mixed.example', { all: true }), /fd00::1, which is not a public address/)
})

t.test('one family that is silent keeps the other from nothing', async t => {
  const resolve = await resolverOf(t, (_, family) => (family === 4 ? '192.0.2.1' : 'silent'), {
    deadline_ms: 200,
  })
  t.strictSame(await resolve('half.example'), [{ address: '192.0.2.1', family: 4 }])
})

t.test('localhost is called wherever it may be', async t => {
  const target = await receiver(t, 204)
  for (const allow of [['127.0.0.1'], ['127.0.0.0/8', '::1'], ['localhost']]) {
    const sender = new Sender({ guard: new Guard({ allow, loopback: false }), secrets: [secret] })
    t.teardown(() => sender.close())
    const url = `http://localhost:${target.port}/`
    t.match(await sender.post({ id: 'msg_1', body: '{}', url }), { status: 204 }, allow.join())
  }
})

t.test('names whose name server is silent keep no other host waiting', async t => {
  const target = await receiver(t, 204)
  const resolve = await resolverOf(t, name => (name === 'quick.example' ? '127.0.0.1' : 'silent'), {
    deadline_ms: 1_500,
  })
  const guard = new Guard({ allow: ['127.0.0.1'], loopback: false, resolve })
  const sender = new Sender({ guard, secrets: [secret] })
  t.teardown(() => sender.close())
  const post = (host: string) =>
    sender.post({ id: 'msg_1', body: '{}', url: `http://${host}:${target.port}/` })

  // As many as a replica sends at once, and far more than libuv has threads.
  const ends: string[] = []
  const silent = Array.from({ length: 60 }, async (_, nth) => {
    const { error } = await post(`silent-${nth}.example`)
    ends.push(String(error))
  })
  t.match(await post('quick.example'), { status: 204 })
  t.strictSame(ends, [], 'it has arrived before the others were given up')
  await Promise.all(silent)
  t.strictSame(new Set(ends), new Set(['unreachable']))
})
