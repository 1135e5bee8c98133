import type { Run } from '../../src/database/coalesce.ts'
import { type Database, execute, type Statement } from '../../src/database/statement.ts'
import { stringify } from '../../src/json/raw.ts'

/** Replaces coalesce.ts without sharing: every request is a statement of its own, which waits for its barrier. */
export function coalesce<Row extends { outcome: string }>(
  database: Database,
  sql: Statement,
  keyOf?: (ask: object) => string,
): Run<Row> {
  const run = async (asks: readonly object[]): Promise<Row[]> => {
    const values = [stringify(asks), ...(keyOf ? [true] : [])]
    const rows = await execute<Row>(database, sql, values)
    return rows.some(({ outcome }) => outcome === 'again') ? run(asks) : rows
  }
  return run as Run<Row>
}
