import type { Reply } from './connection.ts'

/** One request of an operation; its latency is counted under `step`. */
export type Call = (step: string, method: string, path: string, body?: string) => Promise<Reply>

export interface Spread {
  /** Executions are named `prefix-0`, `prefix-1` and so on. */
  prefix: string
  executions: number
  /** The total of the barriers that `enqueue` creates, so large that no run here fills them. */
  total?: number
  /** The queue for the callbacks of the barriers that `enqueue` creates; without it they have none. */
  queue?: string
}

/** Runs operation number `n` and returns its outcome. */
export type Workload = (call: Call, n: number, spread: Spread) => Promise<string>

const CLAIM = '{"lease_seconds":600,"owner":"bench"}'

/** 100 bytes of JSON, as a worker's result. */
export const RESULT = JSON.stringify({ text: 'x'.repeat(89) })

const BULK = 1000
/** The size of a set, as large as that of pg-boss. */
export const SET = 50

export const workloads = {
  enqueue: async (call, n, { prefix, total = 1_000_000, queue }) => {
    const path = `/executions/${prefix}-${n}/barrier/enqueue`
    const callback = queue === undefined ? '' : `,"callback":{"queue":"${queue}"}`
    return outcomeOf(await call('enqueue', 'POST', path, `{"total":${total}${callback}}`))
  },

  /** One callback, taken from its queue and acknowledged. */
  callback: async (call, _, { queue }) => {
    const { status, body } = await call(
      'pull',
      'POST',
      '/callbacks/claim',
      JSON.stringify({ queue }),
    )
    if (status !== 200) return String(status)
    const [, execution, token] = /"execution_id":"([^"]+)".*?"token":"([^"]+)"/.exec(body) ?? []
    if (token === undefined) return 'none'
    const path = `/executions/${execution}/callback/ack`
    return String((await call('ack', 'POST', path, JSON.stringify({ token }))).status)
  },

  /** All results of execution n, page by page. */
  pages: async (call, n, { prefix }) => {
    const path = `/executions/${prefix}-${n}/batches?limit=1000`
    for (let cursor: string | undefined = ''; cursor !== undefined;) {
      const { status, body } = await call('page', 'GET', `${path}${cursor && `&cursor=${cursor}`}`)
      if (status !== 200) return String(status)
      cursor = /"next_cursor":"([^"]+)"/.exec(body)?.[1]
    }
    return 'read'
  },

  /** Operation n is batch n / executions of execution n % executions: the executions take turns. */
  claim: async (call, n, spread) => outcomeOf(await claim(call, n, spread)),

  /** A set of batches of one execution in each call; the executions take turns. */
  claimInSets: async (call, n, spread) => {
    const { path, index } = place(n, spread)
    const indexes = Array.from({ length: SET }, (_, nth) => index * SET + nth)
    const asked = JSON.stringify({ batch_indexes: indexes, lease_seconds: 600, owner: 'bench' })
    const { status, body } = await call('claim', 'POST', `${path}/batches/claim`, asked)
    const granted = body.match(/"outcome":"granted"/g)?.length
    return granted === SET ? 'granted' : `${status}, ${granted ?? 0} granted`
  },

  /** Nine claims of ten are for the batches 0 to 9 of each execution, which were finished before. */
  redelivery: async (call, n, spread) =>
    outcomeOf(await claim(call, n % 10 === 0 ? n : finishedOne(n, spread), spread)),

  /** All claims are for finished batches. */
  finished: async (call, n, spread) => outcomeOf(await claim(call, finishedOne(n, spread), spread)),

  /** The calls of a worker for each message. */
  work: async (call, n, spread) => {
    const { body } = await claim(call, n, spread)
    const token = /"token":"([^"]+)"/.exec(body)?.[1]
    const { path, index } = place(n, spread)
    const recorded = `{"batch_index":${index}${token ? `,"token":"${token}"` : ''},"result":${RESULT}}`
    return outcomeOf(await call('decrement', 'POST', `${path}/barrier/decrement`, recorded))
  },

  /** The same for a worker that takes its messages in sets: operation n is the set that begins at batch n * SET. */
  workInSets: async (call, n, { prefix, total = SET }) => {
    const path = `/executions/${prefix}-0`
    const indexes = Array.from(
      { length: Math.min(SET, total - n * SET) },
      (_, nth) => n * SET + nth,
    )
    const asked = JSON.stringify({ batch_indexes: indexes, lease_seconds: 600, owner: 'bench' })
    const { body } = await call('claims', 'POST', `${path}/batches/claim`, asked)
    const { claims } = JSON.parse(body) as { claims: { batch_index: number; token?: string }[] }
    const batches = claims.map(
      ({ batch_index, token }) =>
        `{"batch_index":${batch_index}${token ? `,"token":"${token}"` : ''},"result":${RESULT}}`,
    )
    const recorded = `{"batches":[${batches.join(',')}]}`
    const reply = await call('decrements', 'POST', `${path}/barrier/decrements`, recorded)
    return reply.status === 200 ? 'recorded' : String(reply.status)
  },

  /** A record without a claim. */
  decrement: async (call, n, spread) => {
    const { path, index } = place(n, spread)
    const recorded = `{"batch_index":${index},"result":${RESULT}}`
    return outcomeOf(await call('decrement', 'POST', `${path}/barrier/decrement`, recorded))
  },

  /** A set of records without claims in each call, for the batches that `claimInSets` takes. */
  decrementInSets: async (call, n, spread) => {
    const { path, index } = place(n, spread)
    const batches = Array.from(
      { length: SET },
      (_, nth) => `{"batch_index":${index * SET + nth},"result":${RESULT}}`,
    )
    const recorded = `{"batches":[${batches.join(',')}]}`
    const reply = await call('decrement', 'POST', `${path}/barrier/decrements`, recorded)
    const counted = reply.body.match(/"outcome":"recorded"/g)?.length
    return counted === SET ? 'recorded' : `${reply.status}, ${counted ?? 0} recorded`
  },

  /** A thousand records at once: call n is for execution n % executions. */
  bulk: async (call, n, spread) => {
    const { path, index } = place(n, spread)
    const batches = Array.from(
      { length: BULK },
      (_, offset) => `{"batch_index":${index * BULK + offset},"result":${RESULT}}`,
    )
    const reply = await call(
      'decrements',
      'POST',
      `${path}/barrier/decrements`,
      `{"batches":[${batches.join(',')}]}`,
    )
    return reply.status === 200 ? 'recorded' : String(reply.status)
  },
} satisfies Record<string, Workload>

export type WorkloadName = keyof typeof workloads

async function claim(call: Call, n: number, spread: Spread): Promise<Reply> {
  const { path, index } = place(n, spread)
  return call('claim', 'POST', `${path}/batches/${index}/claim`, CLAIM)
}

function place(n: number, { prefix, executions }: Spread): { path: string; index: number } {
  return {
    path: `/executions/${prefix}-${n % executions}`,
    index: Math.floor(n / executions),
  }
}

function finishedOne(n: number, { executions }: Spread): number {
  return n % (10 * executions)
}

/** The outcome of an error reply is its status. */
function outcomeOf({ status, body }: Reply): string {
  if (status >= 300) return String(status)
  return /"outcome":"(\w+)"/.exec(body)?.[1] ?? String(status)
}
