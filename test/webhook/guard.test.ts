import type { LookupAddress } from 'node:dns'
import { promisify } from 'node:util'
import t from 'tap'
import { Guard, isAllowable, isLoopback } from '../../src/webhook/guard.ts'
import { Unreached } from '../../src/webhook/unreached.ts'
import { resolver } from '../../src/webhook/resolver.ts'
import { nameServer } from '../fixtures/name-server.ts'
import { privateHosts, publicHosts } from './hosts.ts'

const strict = new Guard({ allow: [], loopback: false })
const local = new Guard({ allow: [], loopback: true })
const allowing = (...allow: string[]) => new Guard({ allow, loopback: false })

t.test('no spelling of an address that is not public is taken', async t => {
  for (const host of privateHosts) {
    for (const scheme of ['http', 'https']) {
      const refusal = strict.refusalOf(`${scheme}://${host}:8080/`)
      t.match(
        refusal,
        /not a public address, and ROLLCALL_CALLBACK_ALLOW does not have it\.$/,
        host,
      )
    }
  }
})

t.test('a public host is called with https and not without', async t => {
  for (const host of publicHosts) {
    t.equal(strict.refusalOf(`https://${host}/hook?a=b#c`), undefined, host)
    t.match(strict.refusalOf(`http://${host}/`), /has to be called with https, because/, host)
    t.match(local.refusalOf(`http://${host}/`), /has to be called with https, because/, host)
  }
})

t.test('a refusal says what is wrong', async t => {
  const sentences: Record<string, string> = {
    'https://127.1/':
      '127.0.0.1 is not a public address, and ROLLCALL_CALLBACK_ALLOW does not have it.',
    'https://[::1]/': '::1 is not a public address, and ROLLCALL_CALLBACK_ALLOW does not have it.',
    'https://localhost/':
      'localhost is 127.0.0.1, which is not a public address, and ROLLCALL_CALLBACK_ALLOW does not have it.',
    'http://example.com/':
      'example.com has to be called with https, because ROLLCALL_CALLBACK_ALLOW does not have it.',
    'https://u@example.com/': 'The callback URL may not hold a user name or password.',
    'https://:p@example.com/': 'The callback URL may not hold a user name or password.',
    'https://example.com@10.0.0.1/': 'The callback URL may not hold a user name or password.',
    'https://example.com:0/': 'The callback URL may not have port 0.',
    'ftp://example.com/': 'The callback URL has to begin with https:// or http://.',
    'file:///etc/passwd': 'The callback URL has to begin with https:// or http://.',
    'javascript:alert(1)': 'The callback URL has to begin with https:// or http://.',
    'https://': 'The callback URL is not a URL.',
    '/hook': 'The callback URL is not a URL.',
    'https://[fe80::1%25eth0]/': 'The callback URL is not a URL.',
    'https://1.2.3.4.5/': 'The callback URL is not a URL.',
  }
  for (const [url, sentence] of Object.entries(sentences)) t.equal(strict.refusalOf(url), sentence)
})

t.test('a service that listens on loopback may call loopback, and nothing else', async t => {
  for (const host of [
    'localhost',
    'localhost.',
    'a.localhost',
    '127.0.0.1',
    '127.9.9.9',
    '[::1]',
  ]) {
    t.equal(local.refusalOf(`http://${host}:8080/`), undefined, host)
  }
  for (const host of ['0.0.0.0', '[::]', '10.0.0.1', '169.254.169.254', '[fd00::1]']) {
    t.match(local.refusalOf(`http://${host}/`), /is not a public address/, host)
  }
})

t.test('a service listens on loopback when its host says so', async t => {
  for (const host of ['127.0.0.1', '127.0.0.2', '::1', 'localhost', 'LOCALHOST']) {
    t.ok(isLoopback(host), host)
  }
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'fe80::1%eth0', 'rollcall', '']) {
    t.notOk(isLoopback(host), host)
  }
})

t.test('what is allowed is called with and without TLS', async t => {
  const allowed: Record<string, string[]> = {
    '10.1.0.0/16': ['10.1.2.3', '[::ffff:10.1.2.3]', '0x0a010203'],
    '10.1.2.3': ['10.1.2.3'],
    'fd00::/8': ['[fd00::1]', '[fdff::1]'],
    '::1': ['[::1]'],
    '127.0.0.1': ['127.0.0.1', 'localhost'],
    'hooks.internal': ['hooks.internal', 'HOOKS.internal', 'hooks.internal.'],
    'Hooks.Internal.': ['hooks.internal'],
    'bücher.example': ['bücher.example', 'xn--bcher-kva.example'],
    localhost: ['localhost'],
  }
  for (const [entry, hosts] of Object.entries(allowed)) {
    for (const host of hosts) {
      for (const scheme of ['http', 'https']) {
        t.equal(allowing(entry).refusalOf(`${scheme}://${host}/`), undefined, `${entry} ${host}`)
      }
    }
    t.match(allowing(entry).refusalOf('https://10.2.0.1/'), /not a public address/)
    t.match(allowing(entry).refusalOf('https://u@10.1.2.3/'), /user name/)
  }
  // A name allows itself only.
  t.match(allowing('hooks.internal').refusalOf('http://a.hooks.internal/'), /with https/)
})

t.test('an entry of the setting is a host name, an address or a range', async t => {
  const good = ['a', 'a-b.c_d.internal', 'a.', 'bücher.example', '10.0.0.0/8', '10.0.0.1', '::1']
  for (const entry of [...good, 'fd00::/8', '0.0.0.0/0', '::/0']) t.ok(isAllowable(entry), entry)
  const bad = [
    '',
    ' ',
    '*',
    '*.internal',
    'a:80',
    'http://a',
    'a/b',
    'a..b',
    '.a',
    'u@a',
    '[::1]',
    'a?b',
    'a#b',
    'a\\b',
    '%61',
  ]
  const wrong = ['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/-1', '2130706433']
  for (const entry of [...bad, ...wrong, 'a/8', '127.1', 'fe80::1%eth0', 'fe80::%1/64']) {
    t.notOk(isAllowable(entry), entry)
  }
})

const ipv4 = (...addresses: string[]): LookupAddress[] =>
  addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 }))

/** Why there was no answer. */
async function kindOf(lookup: Promise<unknown>): Promise<string> {
  const error = await lookup.catch((reason: unknown) => reason)
  return error instanceof Unreached ? error.kind : 'none'
}

/** What a connection to `name.example` would be given, with these answers one after the other. */
function lookedUp(
  answers: LookupAddress[][],
  { allow = [], protocol = 'https:' }: { allow?: string[]; protocol?: 'http:' | 'https:' } = {},
) {
  const guard = new Guard({ allow, loopback: false, resolve: async () => answers.shift() ?? [] })
  const lookup = promisify(guard.lookupFor(protocol))
  return lookup('name.example', { all: true })
}

t.test('a name may only have addresses that are permitted', async t => {
  t.strictSame(await lookedUp([ipv4('8.8.8.8', '2606:4700::1')]), ipv4('8.8.8.8', '2606:4700::1'))
  const refused = [
    ['10.0.0.1'],
    ['8.8.8.8', '10.0.0.1'],
    ['10.0.0.1', '8.8.8.8'],
    ['8.8.8.8', '::1'],
    ['::ffff:127.0.0.1'],
    ['fe80::1%eth0'],
    ['64:ff9b::a00:1'],
    ['no address'],
  ]
  for (const addresses of refused) {
    t.equal(await kindOf(lookedUp([ipv4(...addresses)])), 'unreachable', addresses.join())
  }
  t.equal(await kindOf(lookedUp([[]])), 'unreachable')
})

t.test('a name whose every address is allowed needs no TLS, and no other does', async t => {
  const over = (...addresses: string[]) =>
    lookedUp([ipv4(...addresses)], { allow: ['10.0.0.0/8'], protocol: 'http:' })
  t.strictSame(await over('10.0.0.1', '10.0.0.2'), ipv4('10.0.0.1', '10.0.0.2'))
  t.equal(await kindOf(over('10.0.0.1', '8.8.8.8')), 'unreachable')
  await t.rejects(over('8.8.8.8'), /has to be called with https/)
  const named = { allow: ['Name.example.'], protocol: 'http:' as const }
  t.strictSame(await lookedUp([ipv4('192.168.0.1')], named), ipv4('192.168.0.1'))
})

t.test('a lookup that asks for one address gets the first', async t => {
  const guard = new Guard({
    allow: [],
    loopback: false,
    resolve: async () => ipv4('8.8.8.8', '1.1.1.1'),
  })
  const answer = await new Promise<unknown[]>(resolve => {
    guard.lookupFor('https:')('name.example', {}, (...given) => resolve(given))
  })
  t.strictSame(answer, [null, '8.8.8.8', 4])
})

t.test('a name server that changes its mind gets nowhere', async t => {
  const answers = ['8.8.8.8', '127.0.0.1', '8.8.8.8']
  // It is asked for both families, and has one.
  let asked = 0
  const servers = [await nameServer(t, () => answers[Math.floor(asked++ / 2)] ?? 'unknown')]
  const resolve = resolver({ isKnownHere: () => false, servers, hostsFile: '/dev/null' })
  const guard = new Guard({ allow: [], loopback: false, resolve })
  const lookup = promisify(guard.lookupFor('https:'))
  const connect = () => lookup('rebind.example', { all: true })
  t.strictSame(await connect(), ipv4('8.8.8.8'))
  t.equal(await kindOf(connect()), 'unreachable')
  t.strictSame(await connect(), ipv4('8.8.8.8'))
  t.equal(await kindOf(connect()), 'unreachable')
})
