import { maxHeaderSize } from 'node:http'
import { readConfig } from '../src/config.ts'
import { MOST_ASKS, MOST_BYTES as MOST_RUN_BYTES, MOST_WAITING } from '../src/database/lane.ts'
import { MOST_AGE_MS, MOST_AT_ONCE } from '../src/database/shared-reads.ts'
import { MOST_ATTEMPTS, MOST_SOCKETS } from '../src/descriptors.ts'
import { MOST_MEMBERS, MOST_VALUE_BYTES, MOST_VALUES } from '../src/json/rules.ts'
import * as places from '../src/loops/delivery/places.ts'
import { SLOW_MS } from '../src/loops/delivery/paces.ts'
import { MOST_DATA_BYTES } from '../src/plugins/body.ts'
import { LARGE_BYTES } from '../src/plugins/body/byte-budget.ts'
import {
  LEAST_BYTES_PER_SECOND,
  MOST_SLOW_SECONDS,
  SMALL_BYTES,
} from '../src/plugins/body/upload.ts'
import { FRESH_MS as JUDGED_EVERY_MS } from '../src/plugins/readiness.ts'
import { EVERY_MS } from '../src/plugins/refusal-log.ts'
import * as sockets from '../src/plugins/sockets/sockets.ts'
import { MOST_ERRORS } from '../src/plugins/validation.ts'
import { MOST_PARAMETER_CHARACTERS } from '../src/server.ts'
import { MOST_CLEARED } from '../src/routes/batches/clear.ts'
import { MOST_PULLED, REPLY_BYTES } from '../src/routes/callbacks/claim.ts'
import { MOST_OF_PAGE, MOST_WAIT_SECONDS } from '../src/routes/parameters.ts'
import { MOST_BYTES as MOST_LINE_BYTES } from '../src/webhook/line.ts'
import { LIMITS } from '../src/webhook/post.ts'
import { ATTEMPTS, MOST_SECONDS } from '../src/webhook/schedule.ts'

/** Bounds that stand in the SQL files: a test finds these numbers there. */
export const inSql = { countedClaims: 10_000, pageBytes: 1_048_576, forgottenBytes: 33_554_432 }

const fallback = readConfig({})
const overloaded = `waits ${fallback.ROLLCALL_POOL_WAIT_SECONDS} s, then 503 \`overloaded\``

/** The columns of docs/reference.md: the thing; its limit for one caller or receiver; for one replica; the result beyond it; the setting. */
const rows = `
sockets | | ${count(MOST_SOCKETS)}, or half of the descriptors that are left | closed at once | \`ulimit -n\`
an idle socket | ${seconds(sockets.KEEP_ALIVE_MS)}; ${seconds(sockets.SCARCE_KEEP_ALIVE_MS)} when three quarters of all are open | | closed |
requests of a socket that wait for replies | ${sockets.MOST_QUEUED} | | the socket is cut |
replies that callers do not read | ${seconds(sockets.PATIENCE_MS)} for one | ${bytes(sockets.MOST_UNREAD_BYTES)} | the socket is cut; beyond the total, the one whose reply waits longest |
the head of a request | ${bytes(maxHeaderSize)}, ${seconds(sockets.HEAD_MS)} | | 431, 408 |
a name in a path | ${count(MOST_PARAMETER_CHARACTERS)} characters | | 414 |
a request until it has arrived | ${seconds(sockets.REQUEST_MS)} | | 408 |
a body | ${bytes(fallback.ROLLCALL_BODY_LIMIT_BYTES)} | | 413 | \`ROLLCALL_BODY_LIMIT_BYTES\`
a body of a bulk route | ${bytes(fallback.ROLLCALL_BULK_BODY_LIMIT_BYTES)} | | 413 | \`ROLLCALL_BULK_BODY_LIMIT_BYTES\`
bodies above ${bytes(SMALL_BYTES)} that have arrived | | ${bytes(fallback.ROLLCALL_BODIES_LIMIT_BYTES)}; a quarter is kept from those above ${bytes(LARGE_BYTES)} | ${overloaded} | \`ROLLCALL_BODIES_LIMIT_BYTES\`
bodies above ${bytes(LARGE_BYTES)} that are worked on | | as much as the largest body | ${overloaded} |
the rate of a body above ${bytes(SMALL_BYTES)} | at least ${bytes(LEAST_BYTES_PER_SECOND)} a second; ${inTime(fallback.ROLLCALL_BULK_BODY_LIMIT_BYTES)} a second for ${bytes(fallback.ROLLCALL_BULK_BODY_LIMIT_BYTES)}, which has to arrive in ${seconds(sockets.REQUEST_MS)} as well | | 408 after ${MOST_SLOW_SECONDS} s, or at the end of the ${seconds(sockets.REQUEST_MS)} |
nesting of a body | ${fallback.ROLLCALL_JSON_DEPTH_LIMIT} | | 400 | \`ROLLCALL_JSON_DEPTH_LIMIT\`
outside of callers' JSON: members of an array; a string; keys and values | ${count(MOST_MEMBERS)}; ${bytes(MOST_VALUE_BYTES)}; ${count(MOST_VALUES)} | | 400 |
\`result\` | ${bytes(fallback.ROLLCALL_RESULT_LIMIT_BYTES)} | | 413 | \`ROLLCALL_RESULT_LIMIT_BYTES\`
\`error\` | ${bytes(fallback.ROLLCALL_ERROR_LIMIT_BYTES)} | | 413 | \`ROLLCALL_ERROR_LIMIT_BYTES\`
\`metadata\`; \`kwargs\` with \`headers\` | ${bytes(MOST_DATA_BYTES)} | | 413; 400 if only their sum is larger |
\`errors\` of a refusal | ${MOST_ERRORS} | | \`detail\` says how many more |
connections to Postgres | | ${fallback.ROLLCALL_POOL_SIZE} | ${overloaded} | \`ROLLCALL_POOL_SIZE\`, \`ROLLCALL_POOL_WAIT_SECONDS\`
a statement | ${fallback.ROLLCALL_STATEMENT_TIMEOUT_SECONDS} s | | 503 | \`ROLLCALL_STATEMENT_TIMEOUT_SECONDS\`
its wait for a locked row | ${fallback.ROLLCALL_LOCK_TIMEOUT_SECONDS} s | half of the connections may wait so | 503 | \`ROLLCALL_LOCK_TIMEOUT_SECONDS\`
batches of a call; of a run that calls share | ${count(MOST_MEMBERS)} | ${count(MOST_ASKS)} or ${bytes(MOST_RUN_BYTES)} | 400; the others go into the next run |
calls that wait for a run | | ${count(MOST_WAITING)} | 503 \`overloaded\` |
batches of a barrier | ${count(fallback.ROLLCALL_TOTAL_LIMIT)} | | 400 | \`ROLLCALL_TOTAL_LIMIT\`
a page of a list | ${count(MOST_OF_PAGE)} members, ${bytes(inSql.pageBytes)} of results | | the next page |
callbacks of one pull | ${MOST_PULLED}, ${bytes(REPLY_BYTES)} | | 400; the others stay due |
\`wait_seconds\` | ${MOST_WAIT_SECONDS} | one query a second for all | 400 |
reads with \`detail=claims\` | ${count(inSql.countedClaims)} claims are counted | ${MOST_AT_ONCE} at once; answers are shared for ${seconds(MOST_AGE_MS)} | \`claims_counted_in_full\` is false; the others wait |
batches that one statement forgets | ${count(MOST_CLEARED)}, ${bytes(inSql.forgottenBytes)} | | the next statement |
judging readiness | | once in ${seconds(JUDGED_EVERY_MS)} | probes share the verdict |
callback attempts under way | ${places.MOST_OF_RECEIVER} to a receiver, 1 to a silent one; ${count(MOST_ATTEMPTS * places.SHARE_OF_NETWORK)} to an address | ${count(MOST_ATTEMPTS)}, or half of the descriptors that are left; above ${count(MOST_ATTEMPTS * places.SHARE_THAT_CROWDS)} one to each receiver | waits for its turn | \`ulimit -n\`
callback attempts that began in the last ${places.FRESH_MS} ms | ${places.FRESH_OF_HOST} to a host, ${places.FRESH_OF_NETWORK} to an address | ${places.FRESH} | waits for its turn |
callbacks above ${bytes(places.LARGE_BYTES)} under way | | ${bytes(places.LARGE_LIMIT_BYTES)} | waits for its turn |
the share of slow receivers (above ${seconds(SLOW_MS)}) in these three | | three quarters; seven eighths for those never called | waits for its turn |
an attempt | ${seconds(LIMITS.connect_ms)} to connect, ${seconds(LIMITS.attempt_ms)} to its status, ${seconds(LIMITS.response_ms)} more; ${bytes(MOST_LINE_BYTES)} | | cut; a status that arrived counts |
attempts of a callback | ${ATTEMPTS} | | \`dead\` |
a wait that \`Retry-After\` asks for | ${MOST_SECONDS / 3600} h | | shortened to that |
lines of log for a code of 503 | | one in ${seconds(EVERY_MS)} | a count in the next line |
`

export const limits: readonly string[][] = rows
  .trim()
  .split('\n')
  .map(row => row.split('|').map(cell => cell.trim()))

function count(number: number): string {
  return number.toLocaleString('en')
}

function bytes(number: number): string {
  const [unit, size] = number < 1024 * 1024 ? ['KiB', 1024] : ['MiB', 1024 * 1024]
  return `${count(number / size)} ${unit}`
}

/** So many a second bring a body before its request is given up. */
function inTime(size: number): string {
  return `${count(Math.ceil(size / 1024 / (sockets.REQUEST_MS / 1000)))} KiB`
}

function seconds(milliseconds: number): string {
  return `${count(milliseconds / 1000)} s`
}
