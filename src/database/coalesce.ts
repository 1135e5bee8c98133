import { encode } from '../json/raw.ts'
import { overloaded, Refusal } from '../refusals.ts'
import { DatabaseRefusal } from './fault.ts'
import { type Call, Lane } from './lane.ts'
import { type Database, send, type Sent, type Statement } from './statement.ts'

interface Answer {
  outcome: string
}

export type Run<Row> = <const Asks extends readonly object[]>(
  asks: Asks,
) => Promise<{ [Each in keyof Asks]: Row }>

/**
 * Lets concurrent requests share runs of one statement. While no run is in flight, a call goes at once and alone; calls that
 * arrive during a run go together in the next. The run in flight is the timer, so an idle service adds no latency.
 *
 * For a statement that locks barriers, `keyOf` names the execution of an ask. A common run passes over a locked barrier: its
 * calls answer `again`, and then wait for it in a lane of their execution. So no two runs wait for one barrier, and a locked
 * barrier never delays the calls of other executions.
 */
// oxlint-disable-next-line max-lines-per-function -- Runs and lanes call each other, and share nothing with anybody else.
export function coalesce<Row extends Answer>(
  database: Database,
  sql: Statement,
  keyOf?: (ask: object) => string,
): Run<Row> {
  const common = new Lane<Row>(async take => runOf('passing', take()), database.waitMs)
  const lanes = new Map<string, Lane<Row>>()

  async function runOf(kind: 'passing' | 'waiting', arrived: Call<Row>[]): Promise<void> {
    // An execution may have got its own lane while its calls waited in the common one.
    const waits = kind === 'waiting'
    const calls = waits ? arrived : arrived.filter(call => !lanes.get(call.key)?.push(call))
    if (calls.length === 0) return
    const values = [joined(calls), ...(keyOf ? [waits] : [])]
    let sent: Sent<Row>
    try {
      const answers = calls.reduce((sum, call) => sum + call.count, 0)
      sent = await send<Row>(database, sql, values, { answers })
    } catch (error) {
      // One bad ask spoils a run, so each call is sent again alone. A barrier that stayed locked is no bad ask.
      const blamesOneAsk = error instanceof DatabaseRefusal && error.blamesOneAsk
      if (error instanceof DatabaseRefusal && error.effect === 'unknown') markAsSent(calls)
      if (calls.length === 1 || !blamesOneAsk || (waits && error.code === 'overloaded')) {
        return calls.forEach(call => call.refuse(error))
      }
      await Promise.all(calls.map(call => runOf(kind, [call])))
      return
    }
    if (sent.mayHaveRun) markAsSent(calls)
    let first = 0
    for (const call of calls) {
      const answers = sent.rows.slice(first, (first += call.count))
      if (!answers.some(isAgain)) {
        call.answer(answers)
        continue
      }
      // The whole call goes again, also the part that was written.
      if (!answers.every(isAgain)) markAsSent([call])
      if (!laneOf(call.key).push(call)) call.refuse(overloaded())
    }
  }

  function laneOf(key: string): Lane<Row> {
    const known = lanes.get(key)
    if (known) return known
    const lane = new Lane<Row>(
      take => database.waiting.run(key, () => runOf('waiting', take()), { patient: true }),
      database.waitMs,
      () => lanes.delete(key),
    )
    lanes.set(key, lane)
    return lane
  }

  return asks =>
    new Promise((resolve, reject) => {
      const key = keyOf && asks[0] ? keyOf(asks[0]) : ''
      const json = encode(asks)
      const call: Call<Row> = {
        count: asks.length,
        json,
        bytes: Buffer.byteLength(json),
        key,
        mayHaveRun: false,
        answer: resolve as (rows: Row[]) => void,
        refuse: error =>
          reject(call.mayHaveRun && error instanceof Refusal ? error.inDoubt() : error),
      }
      if (!(lanes.get(key) ?? common).push(call)) reject(overloaded())
    })
}

/** One JSON array of all asks. A single call is sent as it is, because it may have 16 MiB. */
function joined<Row>(calls: Call<Row>[]): string | Buffer {
  const [first, ...others] = calls
  if (first && others.length === 0) return first.json
  const parts = calls.map(({ json }) => json)
  if (parts.every(part => typeof part === 'string'))
    return `[${parts.map(part => part.slice(1, -1)).join(',')}]`
  const comma = Buffer.from(',')
  const inner = parts.flatMap(part => [comma, Buffer.from(part).subarray(1, -1)])
  return Buffer.concat([Buffer.from('['), ...inner.slice(1), Buffer.from(']')])
}

function isAgain({ outcome }: Answer): boolean {
  return outcome === 'again'
}

function markAsSent<Row>(calls: Call<Row>[]): void {
  for (const call of calls) call.mayHaveRun = true
}
