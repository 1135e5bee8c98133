import type { FastifyServerOptions } from 'fastify'
import type { Config } from '../config.ts'

/** One line per event: readable on a terminal, JSON in a pipe. Bodies, tokens and headers are never logged. */
export function loggerOptions(config: Config): NonNullable<FastifyServerOptions['logger']> {
  const level = config.LOG_LEVEL
  if (!process.stdout.isTTY) return { level }
  return {
    level,
    transport: {
      target: 'pino-pretty',
      options: { translateTime: 'HH:MM:ss', ignore: 'pid,hostname,reqId', singleLine: true },
    },
  }
}
