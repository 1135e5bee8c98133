import { join } from 'node:path'
import t from 'tap'
import { readConfig, settings, shown, unknownVariables } from '../src/config.ts'

/** The sentence that a wrong environment ends the start with. */
function refusalOf(environment: NodeJS.ProcessEnv): string {
  try {
    readConfig(environment)
  } catch (error) {
    return error instanceof Error ? error.message : ''
  }
  throw new Error('It was taken.')
}

t.test('an empty environment is the defaults', async t => {
  t.match(readConfig({}), {
    HOST: '127.0.0.1',
    PORT: 8080,
    ROLLCALL_DATA_DIR: '.rollcall',
    ROLLCALL_POOL_SIZE: 10,
    ROLLCALL_POOL_WAIT_SECONDS: 2,
    ROLLCALL_STATEMENT_TIMEOUT_SECONDS: 5,
    ROLLCALL_LOCK_TIMEOUT_SECONDS: 2,
    ROLLCALL_BODY_LIMIT_BYTES: 1024 * 1024,
    ROLLCALL_BULK_BODY_LIMIT_BYTES: 16 * 1024 * 1024,
    ROLLCALL_RESULT_LIMIT_BYTES: 256 * 1024,
    ROLLCALL_ERROR_LIMIT_BYTES: 16 * 1024,
    ROLLCALL_JSON_DEPTH_LIMIT: 100,
    ROLLCALL_TOTAL_LIMIT: 1_000_000,
    ROLLCALL_INLINE_RESULTS_BYTES: 1024 * 1024,
    ROLLCALL_ALLOW_UNSAFE_DURABILITY: false,
  })
  t.strictSame(readConfig({ PORT: '', HOST: '', ROLLCALL_POOL_SIZE: '' }), readConfig({}))
})

t.test('a wrong value is told with its name, itself and the rule', async t => {
  const wrong: Record<string, string[]> = {
    PORT: ['-1', '65536', '1e3', ' 80', '0x50', '8080.0', 'http', '８０'],
    LOG_LEVEL: ['loud', 'INFO'],
    ROLLCALL_POOL_SIZE: ['0', '501', '1.5'],
    ROLLCALL_MIGRATE_ON_START: ['yes', '1', 'TRUE', 'False'],
    ROLLCALL_JSON_DEPTH_LIMIT: ['0', '1001'],
    ROLLCALL_TOTAL_LIMIT: ['0', '10000001', '99999999999999999999'],
    ROLLCALL_LOCK_TIMEOUT_SECONDS: ['0', '2s'],
    ROLLCALL_REAPER_REST_SECONDS: ['0', '3601'],
    ROLLCALL_RETAIN_CLAIMS_SECONDS: ['59', '-1'],
    ROLLCALL_RETAIN_REPLACED_SECONDS: ['59', '1d'],
    ROLLCALL_RETAIN_BATCHES_SECONDS: ['59', '315360001'],
    ROLLCALL_RETAIN_TOMBSTONES_SECONDS: ['59', '604799'],
    ROLLCALL_INLINE_RESULTS_BYTES: ['-1', '16777217', '1 MiB'],
    ROLLCALL_PUBLIC_URL: [
      'rollcall.example',
      'ftp://rollcall.example',
      'https://rollcall.example/',
      'https://rollcall.example/?a',
      'https://user:password@rollcall.example',
      'https://rollcall.example#a',
      'https://roll call',
      'https://',
      'http://:80',
    ],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const sentence = refusalOf({ [name]: value })
      t.ok(sentence.includes(name), sentence)
      t.ok(sentence.includes(JSON.stringify(value)), sentence)
      t.match(sentence, /rule is: .+\.$/)
    }
  }
})

t.test('tombstones stay at least as long as batches', async t => {
  t.equal(
    refusalOf({ ROLLCALL_RETAIN_BATCHES_SECONDS: '2592001' }),
    'ROLLCALL_RETAIN_TOMBSTONES_SECONDS is left at its default, but the rule is: not less than ROLLCALL_RETAIN_BATCHES_SECONDS.',
  )
  const both = { ROLLCALL_RETAIN_BATCHES_SECONDS: '60', ROLLCALL_RETAIN_TOMBSTONES_SECONDS: '60' }
  t.match(readConfig(both), { ROLLCALL_RETAIN_TOMBSTONES_SECONDS: 60 })
})

t.test('every wrong variable is told at once, a line each', async t => {
  const lines = refusalOf({ PORT: 'x', LOG_LEVEL: 'y', ROLLCALL_POOL_SIZE: '0' }).split('\n')
  t.equal(lines.length, 3)
})

t.test('a DATABASE_URL that is none is refused without its secret', async t => {
  const urls = [
    'mysql://user:s3cret@host/db',
    'host:s3cret',
    's3cret',
    'postgres://user:a/s3cret@host/db',
    'postgres://user:a#s3cret@host/db',
    'postgres://user:1#s3cret@host/db',
    'postgres://user:1?s3cret@host/db',
    'postgres://user:1@/s3cret@host/db',
    'postgres://user:s3cret@host:99999/db',
  ]
  for (const url of urls) {
    const sentence = refusalOf({ DATABASE_URL: url })
    t.match(sentence, /DATABASE_URL/)
    t.notMatch(sentence, /s3cret/)
  }
})

t.test('what is shown has no password', async t => {
  const urls = [
    'postgres://user:s3cret@host:5432/db',
    'postgresql://user:s3cret@host/db?sslmode=require',
    'postgres://user:s3%40cret@host/db',
    'postgres://user:at@s3cret@host/db',
    'postgres://user:s3cret@/db?host=/run/host',
    'postgres://host/db?user=user&password=s3cret',
    'postgres://host/db?sslkey=key&sslpassword=s3cret&password=s3cret',
    'postgres://host/db?sslkey=key&pass%77ord=s3cret',
  ]
  for (const url of urls) {
    const text = JSON.stringify(shown(readConfig({ DATABASE_URL: url })))
    t.notMatch(text, /s3cret|s3%40cret/, url)
    t.match(text, /host/)
  }
})

t.test('lists are told apart by their separators', async t => {
  const [newer, older] = ['A', 'B'].map(letter => `whsec_${letter.repeat(32)}`)
  t.match(readConfig({}), { ROLLCALL_WEBHOOK_SECRET: [], ROLLCALL_CALLBACK_ALLOW: [] })
  t.strictSame(
    readConfig({ ROLLCALL_WEBHOOK_SECRET: ` ${newer}  ${older}\n` }).ROLLCALL_WEBHOOK_SECRET,
    [newer, older],
  )
  t.strictSame(
    readConfig({ ROLLCALL_CALLBACK_ALLOW: '10.0.0.0/8, hooks.internal ,::1' })
      .ROLLCALL_CALLBACK_ALLOW,
    ['10.0.0.0/8', 'hooks.internal', '::1'],
  )
  const wrong = [' ', ',', '10.0.0.0/8,', '10.0.0.0/33', 'a b', 'http://a', 'a:80', '*.internal']
  for (const value of wrong) {
    const sentence = refusalOf({ ROLLCALL_CALLBACK_ALLOW: value })
    t.equal(
      sentence,
      `ROLLCALL_CALLBACK_ALLOW is ${JSON.stringify(value)}, but the rule is: host names, addresses and CIDR ranges with commas between.`,
    )
  }
})

t.test('no webhook secret is told, whether it is good or not', async t => {
  const good = `whsec_${'s3cr'.repeat(8)}`
  t.strictSame(shown(readConfig({ ROLLCALL_WEBHOOK_SECRET: `${good} ${good}` })), {
    ...readConfig({}),
    ROLLCALL_WEBHOOK_SECRET: ['***', '***'],
  })
  for (const value of ['s3cr', 'whsec_s3cr', `${good},${good}`, `${good} s3cr`, ' ']) {
    t.equal(
      refusalOf({ ROLLCALL_WEBHOOK_SECRET: value }),
      'ROLLCALL_WEBHOOK_SECRET is hidden, but the rule is: whsec_ and the base64 of 24 to 64 bytes, or several of them with spaces between.',
    )
  }
})

t.test('a secret may be in a file, whose line break at the end is left out', async t => {
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
  const folder = t.testdir({
    url: 'postgres://user:pass@host/rollcall\n',
    secrets: `${secret}\n${secret}\r\n`,
    empty: '\n',
    large: 'x'.repeat(65_537),
    wrong: 'mysql://host/rollcall',
  })
  const config = readConfig({
    DATABASE_URL_FILE: join(folder, 'url'),
    ROLLCALL_WEBHOOK_SECRET_FILE: join(folder, 'secrets'),
  })
  t.equal(config.DATABASE_URL, 'postgres://user:pass@host/rollcall')
  t.strictSame(config.ROLLCALL_WEBHOOK_SECRET, [secret, secret])
  t.strictSame(readConfig({ DATABASE_URL_FILE: '' }), readConfig({}))
  t.strictSame(unknownVariables({ ROLLCALL_WEBHOOK_SECRET_FILE: '/x' }), [])
  t.notMatch(JSON.stringify(shown(config)), /pass|whsec_/)

  for (const [path, rule] of [
    [join(folder, 'none'), 'a file that this user can read (ENOENT)'],
    [folder, 'a file that this user can read (EISDIR)'],
    [join(folder, 'empty'), 'a file that is not empty'],
    [join(folder, 'large'), 'a file of at most 65536 bytes'],
    ['/dev/zero', 'a file of at most 65536 bytes'],
  ] as const) {
    t.equal(
      refusalOf({ DATABASE_URL_FILE: path }),
      `DATABASE_URL_FILE is "${path}", but the rule is: ${rule}.`,
    )
  }
  t.equal(
    refusalOf({
      DATABASE_URL_FILE: join(folder, 'url'),
      DATABASE_URL: 'postgres://host/other',
      PORT: 'x',
    }),
    `DATABASE_URL_FILE is "${folder}/url", but the rule is: not together with DATABASE_URL.\nPORT is "x", but the rule is: a whole number in digits.`,
  )
  t.match(
    refusalOf({ DATABASE_URL_FILE: join(folder, 'wrong') }),
    /^DATABASE_URL is hidden, but the rule is: a URL that/,
  )
})

t.test('a variable that nothing reads is told with the nearest name', async t => {
  t.strictSame(unknownVariables({ ROLLCALL_POOL_SIZE: '3', PATH: '/bin', POOL: '1' }), [])
  t.strictSame(unknownVariables({ ROLLCALL_POL_SIZE: '3' }), [
    'Nothing reads ROLLCALL_POL_SIZE. Did you mean ROLLCALL_POOL_SIZE?',
  ])
  t.match(unknownVariables({ ROLLCALL_XYZ: '3' }), [/^Nothing reads ROLLCALL_XYZ\./])
})

t.test('every setting has a description, and numbers have bounds', async t => {
  const all = settings()
  t.ok(all.length > 15)
  for (const { name, description, fallback, bounds } of all) {
    t.match(description, /\.$/, name)
    if (/^\d+$/.test(fallback)) t.match(bounds, /^\d+ to \d+$/, name)
  }
})
