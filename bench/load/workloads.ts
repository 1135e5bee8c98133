import type { Reply } from './connection.ts'

/** One request of an operation; `step` is what its latency is counted under. */
export type Call = (step: string, method: string, path: string, body?: string) => Promise<Reply>

export interface Spread {
  /** Executions are named `prefix-0`, `prefix-1` and so on. */
  prefix: string
  executions: number
  /** How many batches the barriers get that `enqueue` raises; so many that no run here fills them. */
  total?: number
}

/** The operation number `n`; returns its outcome. */
export type Workload = (call: Call, n: number, spread: Spread) => Promise<string>

const CLAIM = '{"lease_seconds":600,"owner":"bench"}'

/** 100 bytes of JSON, as a worker's result. */
export const RESULT = JSON.stringify({ text: 'x'.repeat(89) })

const BULK = 1000

export const workloads = {
  enqueue: async (call, n, { prefix, total = 1_000_000 }) => {
    const path = `/executions/${prefix}-${n}/barrier/enqueue`
    return outcomeOf(await call('enqueue', 'POST', path, `{"total":${total}}`))
  },

  /** Operation n is batch n / executions of execution n % executions: the executions take turns. */
  claim: async (call, n, spread) => outcomeOf(await claim(call, n, spread)),

  /** Nine of ten are of the batches 0 to 9 of each execution, which were finished before. */
  redelivery: async (call, n, spread) =>
    outcomeOf(await claim(call, n % 10 === 0 ? n : finishedOne(n, spread), spread)),

  /** All are of finished batches. */
  finished: async (call, n, spread) => outcomeOf(await claim(call, finishedOne(n, spread), spread)),

  /** What a worker does with each message. */
  work: async (call, n, spread) => {
    const { body } = await claim(call, n, spread)
    const token = /"token":"([^"]+)"/.exec(body)?.[1]
    const { path, index } = place(n, spread)
    const recorded = `{"batch_index":${index}${token ? `,"token":"${token}"` : ''},"result":${RESULT}}`
    return outcomeOf(await call('decrement', 'POST', `${path}/barrier/decrement`, recorded))
  },

  /** A record without a claim. */
  decrement: async (call, n, spread) => {
    const { path, index } = place(n, spread)
    const recorded = `{"batch_index":${index},"result":${RESULT}}`
    return outcomeOf(await call('decrement', 'POST', `${path}/barrier/decrement`, recorded))
  },

  /** A thousand records at once: call n is of execution n % executions. */
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

/** A reply that is no 200 counts as its status. */
function outcomeOf({ status, body }: Reply): string {
  if (status >= 300) return String(status)
  return /"outcome":"(\w+)"/.exec(body)?.[1] ?? String(status)
}
