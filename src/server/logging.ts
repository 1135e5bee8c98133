import type { FastifyServerOptions } from 'fastify'
import { DatabaseError } from 'pg'
import type { Config } from '../config.ts'
import { Refusal } from '../refusals.ts'
import { StartFailure } from '../start-failure.ts'

type LoggerOptions = Exclude<NonNullable<FastifyServerOptions['logger']>, boolean>

/**
 * One line per event: readable on a terminal, JSON in a pipe. What callers send is never logged, but for the execution id,
 * which is the operator's handle and holds no character that a terminal would obey or not show (src/unseen.ts).
 */
export function loggerOptions(config: Config): LoggerOptions {
  const options: LoggerOptions = {
    level: config.LOG_LEVEL,
    formatters: { log: withErrorsTold },
    // Fastify's own of a request shows its URL; what there is to tell of an error is already told.
    serializers: {
      req: ({ id }) => ({ id }),
      res: () => ({}),
      err: (error: unknown) => told(error),
    },
    hooks: {
      logMethod(given, write) {
        const [subject, sentence = UNSAID, ...rest] = given as unknown[]
        if (subject === '') return
        // Pino makes the message of an error the sentence of its line.
        const isError = subject instanceof Error
        const line = isError ? [{ err: subject }, sentence, ...rest] : [subject, sentence, ...rest]
        write.apply(this, (typeof subject === 'string' ? given : line) as typeof given)
      },
    },
  }
  if (!process.stdout.isTTY) return options
  return {
    ...options,
    transport: {
      target: 'pino-pretty',
      options: { translateTime: 'HH:MM:ss', ignore: 'pid,hostname,reqId', singleLine: true },
    },
  }
}

const UNSAID = 'A library reported this.'

/** A chain of causes may be a ring. */
const DEEPEST = 5

/** Words of code, never of data: names of the schema, of functions and of error classes. */
const WORDS = ['code', 'severity', 'constraint', 'table', 'column', 'routine', 'syscall'] as const

/** For an error, or what was thrown in place of one; as Fastify types it. */
function told(error: unknown) {
  const {
    type,
    message = '',
    stack = '',
    ...rest
  } = error instanceof Told ? error : new Told(error)
  return { type, message, stack, ...rest }
}

/**
 * What the log says of an error. The message, the detail, the query and every other member may quote a row, a URL, a key or a
 * token, so only members that cannot are taken over, and the message only where the sentence is ours or that of a client of
 * Postgres about its connection.
 */
class Told {
  readonly type: string
  readonly message?: string
  readonly statusCode?: number
  readonly stack?: string
  readonly cause?: Told
  readonly errors?: Told[]

  constructor(error: unknown, depth = 0) {
    this.type = error instanceof Error ? error.constructor.name : typeof error
    if (!(error instanceof Error)) return
    const members = error as Error & Record<string, unknown>
    if (isSaidByUs(error)) this.message = error.message
    for (const word of WORDS)
      if (isWord(members[word])) Object.assign(this, { [word]: members[word] })
    if (typeof members['statusCode'] === 'number') this.statusCode = members['statusCode']
    // Where a refusal or an error of Postgres was made says nothing, and would fill the log when there are many.
    if (!(error instanceof Refusal || error instanceof DatabaseError)) this.stack = framesOf(error)
    if (depth === DEEPEST) return
    if (error.cause !== undefined) this.cause = new Told(error.cause, depth + 1)
    if (Array.isArray(members['errors']))
      this.errors = members['errors'].slice(0, DEEPEST).map(one => new Told(one, depth + 1))
  }
}

function withErrorsTold(line: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(line).map(([name, value]) => [
      name,
      value instanceof Error ? new Told(value) : value,
    ]),
  )
}

/** Errors of the engine and of libraries have classes, codes or system calls; the plain ones are ours or node-postgres'. */
function isSaidByUs(error: Error): boolean {
  if (error instanceof Refusal) return error.status >= 500
  if (error instanceof StartFailure) return true
  return error.constructor === Error && !('code' in error)
}

function isWord(value: unknown): boolean {
  return typeof value === 'string' && /^\w{1,63}$/.test(value)
}

/** The places alone: in front of them a stack repeats the message, which may be of several lines. */
function framesOf({ stack = '', message }: Error): string {
  const end = stack.indexOf(message) + message.length
  return stack
    .slice(end)
    .split('\n')
    .filter(line => /^ +at .*:\d+:\d+\)?$|^ +at <anonymous>$/.test(line))
    .map(line => line.trim())
    .join('\n')
}
