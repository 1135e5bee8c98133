import fastifyPostgres from '@fastify/postgres'
import plugin from 'fastify-plugin'
import pg from 'pg'
import type { Config } from '../config.ts'
import { coalesce, type Run } from '../database/coalesce.ts'
import { poolOptions } from '../database/connect.ts'
import { ask, type Database, type Statement } from '../database/statement.ts'
import { executionOf, Slots } from '../database/slots.ts'

declare module 'fastify' {
  interface FastifyInstance {
    database: Database
    /** One statement for one request. */
    ask: <Row>(sql: Statement, asked: object) => Promise<Row>
    /** One statement that concurrent requests share, also those of several routes. */
    coalesce: <Row extends { outcome: string }>(sql: Statement) => Run<Row>
  }
}

export interface DatabaseOptions {
  config: Config
  connection: pg.ClientConfig
}

/** How requests reach Postgres: one pool, and the two ways to send it a statement. */
export const database = plugin<DatabaseOptions>(
  async (app, { config, connection }) => {
    await app.register(fastifyPostgres, { ...poolOptions(config, connection), pg })
    const { pool } = app.pg
    // Without a listener the process would end when the server ends an idle connection.
    pool.on('error', error => app.log.warn({ err: error }, 'An idle database connection was lost.'))
    // The same is true of a connection in use, between two queries; a query that was running fails by itself.
    pool.on('connect', client => client.on('error', () => undefined))
    const waitMs = config.ROLLCALL_POOL_WAIT_SECONDS * 1000
    const waiting = new Slots(Math.max(1, Math.floor(config.ROLLCALL_POOL_SIZE / 2)), waitMs)
    const own: Database = {
      pool,
      waiting,
      waitMs,
      prepared: config.ROLLCALL_PREPARED_STATEMENTS,
    }

    app.decorate('database', own)
    app.decorate('ask', async <Row>(sql: Statement, asked: object) => {
      const send = () => ask<Row>(own, sql, [asked])
      const rows = await (sql.locksBarrier ? waiting.run(executionOf(asked), send) : send())
      // `ask` has checked that there is one row.
      return rows[0]!
    })
    const runs = new Map<Statement['name'], unknown>()
    app.decorate('coalesce', <Row extends { outcome: string }>(sql: Statement) => {
      const run =
        (runs.get(sql.name) as Run<Row> | undefined) ??
        coalesce<Row>(own, sql, sql.locksBarrier ? executionOf : undefined)
      runs.set(sql.name, run)
      return run
    })
  },
  { name: 'database' },
)
