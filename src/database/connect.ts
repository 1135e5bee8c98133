import { type ClientConfig, type CustomTypesConfig, type PoolConfig, types } from 'pg'
import type { Config } from '../config.ts'
import { RawJson } from '../json/raw.ts'

/** How values of Postgres reach the service: json as its text, bigint as a number (ours stay below 2^53). */
const ownTypes: CustomTypesConfig = {
  getTypeParser: (oid, format) => {
    if (oid === types.builtins.JSON) return (text: string) => new RawJson(text)
    if (oid === types.builtins.INT8) return Number
    return types.getTypeParser(oid, format)
  },
}

/**
 * The options of every connection of the service.
 *
 * The settings are sent by SET on connect and not as start-up parameters, which PgBouncer refuses. `query_timeout` is a timer
 * of the client, for a server that does not even time out: it drops the connection.
 */
export function poolOptions(config: Config, connection: ClientConfig): PoolConfig {
  const statementSeconds = config.ROLLCALL_STATEMENT_TIMEOUT_SECONDS
  return {
    ...connection,
    types: ownTypes,
    max: config.ROLLCALL_POOL_SIZE,
    connectionTimeoutMillis: config.ROLLCALL_POOL_WAIT_SECONDS * 1000,
    query_timeout: (statementSeconds + 2) * 1000,
    keepAlive: true,
    application_name: 'rollcall',
    onConnect: client => client.query(sessionSettings(config)).then(() => undefined),
  }
}

/**
 * The settings that the service depends on, and that a role, a database or DATABASE_URL may have set otherwise: texts are
 * UTF-8, moments are in UTC, literals follow the standard. Other settings of this kind (IntervalStyle, bytea_output,
 * extra_float_digits) change nothing that a statement here returns.
 *
 * `enable_seqscan` off: the statements look rows up by key, but a plan that was cached while a table was empty would go on
 * to read the whole table. `enable_bitmapscan` off: a bitmap scan collects all matching rows before a LIMIT can end it.
 * Generic plans: no statement has a better plan for particular asks, and planning takes longer than most statements run.
 * `jit` off: compiling costs more than any statement here.
 */
export function sessionSettings(config: Config): string {
  return [
    `statement_timeout = '${config.ROLLCALL_STATEMENT_TIMEOUT_SECONDS}s'`,
    `lock_timeout = '${config.ROLLCALL_LOCK_TIMEOUT_SECONDS}s'`,
    `idle_in_transaction_session_timeout = '${config.ROLLCALL_STATEMENT_TIMEOUT_SECONDS}s'`,
    `default_transaction_isolation = 'read committed'`,
    `client_encoding = 'UTF8'`,
    `timezone = 'UTC'`,
    `datestyle = 'ISO, MDY'`,
    `standard_conforming_strings = on`,
    `enable_seqscan = off`,
    `enable_bitmapscan = off`,
    `plan_cache_mode = force_generic_plan`,
    `jit = off`,
  ]
    .map(setting => `set ${setting};`)
    .join(' ')
}
