import { DatabaseError } from 'pg'
import { type Effect, Refusal, type RefusalCode, type RefusalMembers } from '../refusals.ts'

/**
 * The meaning of a failed statement. `repeat`: the same statement with the same nonces may be sent again. `blamesOneAsk`: one ask
 * may have spoilt the run of the others.
 */
export interface Fault {
  code: RefusalCode
  effect: Effect
  repeat: boolean
  blamesOneAsk: boolean
  /** The remedy, where the sentence of the code does not name it. */
  detail?: string
}

const deadlockOrSerialization = {
  code: 'overloaded',
  effect: 'none',
  repeat: true,
  blamesOneAsk: true,
} as const
const tooSlow = { code: 'overloaded', effect: 'none', repeat: false, blamesOneAsk: true } as const
/** Ends the connection as well, and may come between the commit and its confirmation. */
const cutOff = { code: 'overloaded', effect: 'unknown', repeat: false, blamesOneAsk: true } as const
const noRoom = { code: 'overloaded', effect: 'none', repeat: false, blamesOneAsk: false } as const
const unavailable = {
  code: 'database_unavailable',
  effect: 'none',
  repeat: true,
  blamesOneAsk: false,
} as const
const noSchema = { code: 'not_ready', effect: 'none', repeat: false, blamesOneAsk: false } as const
const lostStatement = {
  ...noSchema,
  detail:
    'A pooler between service and Postgres loses prepared statements: set ROLLCALL_PREPARED_STATEMENTS=false, or max_prepared_statements of the pooler.',
} as const
/** A value of the caller that no rule of the schema excludes; Postgres does not say which one. */
const badValue = {
  code: 'invalid_request',
  effect: 'none',
  repeat: false,
  blamesOneAsk: true,
  detail: 'Postgres cannot take one of the values of the request.',
} as const
const defect = {
  code: 'internal_error',
  effect: 'none',
  repeat: false,
  blamesOneAsk: true,
} as const
/** The connection broke while the statement was with the server: it may have been committed. */
const unknown = {
  code: 'database_unavailable',
  effect: 'unknown',
  repeat: true,
  blamesOneAsk: false,
} as const
/** The server never answered and may still be at work, so a repeat would only wait as long again. */
const silent = { ...unknown, repeat: false } as const

/** By SQLSTATE, or by its class, the first two characters (PostgreSQL manual, appendix A). */
const bySqlState: Readonly<Record<string, Fault>> = {
  '22': badValue,
  '40001': deadlockOrSerialization,
  '40P01': deadlockOrSerialization,
  '55P03': tooSlow,
  '57014': tooSlow,
  // transaction_timeout, which a role may have from Postgres 17 on.
  '25P04': cutOff,
  '53300': noRoom,
  '53': unavailable,
  '25006': unavailable,
  '57P03': unavailable,
  '57': unknown,
  '08': unknown,
  '58': unknown,
  '26000': lostStatement,
  '42P05': lostStatement,
  '3F000': noSchema,
  '42501': noSchema,
  '42804': noSchema,
  '42809': noSchema,
  '42P01': noSchema,
  '42P10': noSchema,
  '42703': noSchema,
  '42883': noSchema,
}

/** An error of a statement that was sent. */
export function faultOf(error: unknown): Fault {
  if (error instanceof DatabaseError && error.code !== undefined) {
    return bySqlState[error.code] ?? bySqlState[error.code.slice(0, 2)] ?? defect
  }
  return error instanceof Error && error.message === 'Query read timeout' ? silent : unknown
}

/** An error of getting a connection: nothing was sent. */
export function connectFaultOf(error: unknown): Fault {
  if (error instanceof Error && error.message.startsWith('timeout exceeded')) return noRoom
  return unavailable
}

/** The refusal that a fault ends in, with the seconds to wait where a repeat may help. */
export class DatabaseRefusal extends Refusal {
  /** Whether one ask may have spoilt the run of the others. */
  readonly blamesOneAsk: boolean
  readonly effect: Effect

  constructor(fault: Fault, cause: unknown) {
    const headers: Record<string, string> =
      fault.code === 'internal_error' || fault.code === 'invalid_request'
        ? {}
        : { 'retry-after': '1' }
    super(fault.code, membersOf(fault), { headers, cause })
    this.blamesOneAsk = fault.blamesOneAsk
    this.effect = fault.effect
  }
}

/**
 * More or fewer rows than asks: nobody knows which row answers which ask, nor what was stored. A proxy that sends a statement
 * to two servers returns the rows of both.
 */
export function miscounted(message: string): DatabaseRefusal {
  return new DatabaseRefusal(
    { code: 'internal_error', effect: 'unknown', repeat: false, blamesOneAsk: false },
    new Error(message),
  )
}

function membersOf({ code, effect, detail }: Fault): RefusalMembers {
  const told = detail === undefined ? {} : { detail }
  if (code !== 'invalid_request') return { effect, ...told }
  return { ...told, errors: [{ path: '', message: detail }] }
}

/** Whether a statement ran into its time-out and was rolled back: a smaller one may succeed. */
export function isTooSlow(error: unknown): boolean {
  return (
    error instanceof DatabaseRefusal &&
    error.cause instanceof DatabaseError &&
    error.cause.code === '57014'
  )
}
