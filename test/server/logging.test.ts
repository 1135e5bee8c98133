import Fastify from 'fastify'
import { DatabaseError } from 'pg'
import t from 'tap'
import { z } from 'zod'
import { readConfig } from '../../src/config.ts'
import { loggerOptions } from '../../src/server/logging.ts'
import { overloaded, Refusal } from '../../src/refusals.ts'

const CANARY = 'canary'
const lines: string[] = []
const stream = { write: (line: string) => void lines.push(line) }
const { log } = Fastify({
  logger: { ...loggerOptions(readConfig({ LOG_LEVEL: 'trace' })), stream },
})

function logged(write: () => void): Record<string, unknown> {
  lines.length = 0
  write()
  t.equal(lines.length, 1)
  return JSON.parse(lines[0] ?? '')
}

const thrown = (make: () => unknown): unknown => {
  try {
    return make()
  } catch (error) {
    return error
  }
}
const ring = new Error('The outer one.')
ring.cause = new AggregateError([new TypeError(CANARY, { cause: ring })], CANARY)

/** Each quotes the canary, wherever its kind does that. */
const errors: Record<string, unknown> = {
  'of Postgres': Object.assign(new DatabaseError(`no "${CANARY}"`, 1, 'error'), {
    detail: CANARY,
    hint: CANARY,
    where: CANARY,
    internalQuery: CANARY,
    code: '23514',
  }),
  'of JSON': thrown(() => JSON.parse(CANARY)),
  'of a URL': thrown(() => new URL(CANARY)),
  'of an argument': thrown(() => Buffer.alloc(CANARY as never)),
  'of the engine': thrown(() => 'x' in (CANARY as never)),
  'of a system call': Object.assign(new Error(`connect ECONNREFUSED ${CANARY}`), {
    code: 'ECONNREFUSED',
    syscall: 'connect',
    address: CANARY,
    hostname: CANARY,
  }),
  'of zod': z.strictObject({}).safeParse({ [CANARY]: CANARY }).error,
  'of a refusal': new Refusal('invalid_request', { detail: CANARY }),
  'with lines of its own': new TypeError(`first\n    at ${CANARY} (${CANARY}:1:1)`),
  'whose message was changed': Object.assign(new TypeError(CANARY), { message: 'other' }),
  'whose members are odd': Object.assign(new Error('ours'), { code: `${CANARY} !`, query: CANARY }),
  'in a ring of causes': ring,
  'that is none': CANARY,
  'that is an object': { detail: CANARY },
}

for (const [kind, error] of Object.entries(errors)) {
  t.test(`what an error quotes is not logged: one ${kind}`, async t => {
    for (const write of [
      () => log.error({ err: error }, 'It failed.'),
      () => log.error({ err: error }),
      ...(error instanceof Error
        ? [() => log.error(error), () => log.error(error, 'It failed.'), () => log.error({ error })]
        : []),
    ]) {
      const line = logged(write)
      t.notMatch(JSON.stringify(line), CANARY)
      t.type(line['msg'], 'string')
    }
  })
}

t.test('what an operator needs of an error is logged', async t => {
  t.match(
    logged(() => log.error({ err: errors['of Postgres'] }, 'It failed.')),
    {
      msg: 'It failed.',
      err: { type: 'DatabaseError', code: '23514' },
    },
  )
  t.match(
    logged(() => log.error(errors['of a system call'])),
    {
      err: {
        code: 'ECONNREFUSED',
        syscall: 'connect',
        stack: /^at .*logging\.test\.[jt]s:\d+:\d+/,
      },
    },
  )
  t.match(
    logged(() => log.warn({ err: new Error('Query read timeout') }, 'x')),
    {
      err: { message: 'Query read timeout' },
    },
  )
  t.match(
    logged(() => log.warn({ err: overloaded() }, 'x')),
    {
      err: { type: 'Refusal', code: 'overloaded', message: /too busy/, stack: '' },
    },
  )
})

t.test('a request is logged by its id alone', async t => {
  const req = { id: 'req-1', url: `/?${CANARY}`, method: 'GET', headers: { a: CANARY } }
  t.strictSame(logged(() => log.info({ req }, 'x'))['req'], { id: 'req-1' })
})
