import type { RefusalCode } from '../refusals.ts'
import { refusals } from '../refusals/table.ts'
import { RetryAfter } from './fields.ts'
import { problemOf } from './problem.ts'

/** Refusals that any request may get before its route sees it. */
const unheard = [
  'invalid_request',
  'request_timeout',
  'uri_too_long',
  'expectation_failed',
  'headers_too_large',
] as const satisfies RefusalCode[]

/** Further refusals of a route that asks the database. */
const unserved = [
  'internal_error',
  'database_unavailable',
  'overloaded',
  'not_ready',
  'draining',
] as const satisfies RefusalCode[]

/** Further refusals of a route with a body. */
export const bodyRefusals = [
  'payload_too_large',
  'unsupported_media_type',
  'unstorable_json',
] as const

/** The response schemas of a route that can be refused with these codes, and of one that asks the database. */
export function refusedWith(...codes: RefusalCode[]) {
  return problemsOf([...unheard, 'forbidden', ...codes, ...unserved])
}

/** The response schemas of a probe that asks the database. */
export const refusedUnready = problemsOf([...unheard, ...unserved])

/** The response schemas of a route that answers in every state of the service. */
export const refusedUnheard = problemsOf(unheard)

function statusOf(code: RefusalCode): number {
  return refusals[code].status
}

function problemsOf(codes: readonly RefusalCode[]) {
  return Object.fromEntries(
    [...new Set(codes.map(statusOf))].map(status => {
      const sameStatus = [...new Set(codes)].filter(code => statusOf(code) === status)
      return [
        status,
        {
          description: sameStatus
            .map(code => `\`${code}\`: ${refusals[code].sentence}`)
            .join('\n\n'),
          headers: status === 503 ? { 'Retry-After': RetryAfter } : {},
          content: { 'application/problem+json': { schema: problemOf(status, sameStatus) } },
        },
      ]
    }),
  )
}
