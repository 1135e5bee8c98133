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
 * What every connection of the service is made with.
 *
 * The settings are sent by SET on connect and not as start-up parameters, which PgBouncer refuses. `query_timeout` is the
 * client's own, for a server that does not even time out: it drops the connection.
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
 * What a role, a database or DATABASE_URL may have set otherwise, and what the service reads and writes by: its texts are
 * UTF-8, its moments in UTC, its literals as the standard has them. Other settings of the kind (IntervalStyle, bytea_output,
 * extra_float_digits) change nothing that a statement here returns.
 *
 * `enable_seqscan` off: the statements look rows up by key, but a plan that was cached while a table was empty would
 * read it whole ever after. `enable_bitmapscan` off: a bitmap takes in all that match before a LIMIT ends it. Generic plans: none of the statements has a better one for the asks of one run, and planning costs
 * more than most of them take. `jit` off: compiling costs more than any statement here.
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
