import type { FastifyServerOptions } from 'fastify'
import { DatabaseError } from 'pg'
import type { Config } from '../config.ts'
import { Refusal } from '../refusals.ts'
import { StartFailure } from '../start-failure.ts'

type LoggerOptions = Exclude<NonNullable<FastifyServerOptions['logger']>, boolean>

/**
 * One line for each event: readable on a terminal, JSON in a pipe. Values that callers send are never logged, except the
 * execution id: operators search by it, and it has no character that a terminal would obey or not show (src/unseen.ts).
 */
export function loggerOptions(config: Config): LoggerOptions {
  const options: LoggerOptions = {
    level: config.LOG_LEVEL,
    formatters: { log: withErrorsTold },
    // Fastify's own serializer of a request would show its URL.
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

/** How many causes the log follows: they may form a ring. */
const DEEPEST = 5

/** Members that hold words of code and never data: names of the schema, of functions and of error classes. */
const WORDS = ['code', 'severity', 'constraint', 'table', 'column', 'routine', 'syscall'] as const

/** Serializes an error, or a value thrown in place of one, in the type that Fastify asks for. */
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
 * The part of an error that is logged. Its message, detail, query and most members may quote a row, a URL, a key or a token,
 * so only members that cannot are taken over. The message is taken over only where it is our sentence, or one of node-postgres
 * about its connection.
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
    // The stack of a refusal or of a Postgres error shows no cause, and many of them would fill the log.
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

/** Errors of the engine and of libraries have a class or a code of their own; plain ones are ours or node-postgres'. */
function isSaidByUs(error: Error): boolean {
  if (error instanceof Refusal) return error.status >= 500
  if (error instanceof StartFailure) return true
  return error.constructor === Error && !('code' in error)
}

function isWord(value: unknown): boolean {
  return typeof value === 'string' && /^\w{1,63}$/.test(value)
}

/** The places alone: a stack begins with the message, which may have several lines. */
function framesOf({ stack = '', message }: Error): string {
  const end = stack.indexOf(message) + message.length
  return stack
    .slice(end)
    .split('\n')
    .filter(line => /^ +at .*:\d+:\d+\)?$|^ +at <anonymous>$/.test(line))
    .map(line => line.trim())
    .join('\n')
}
