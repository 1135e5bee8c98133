import { z } from 'zod'
import { type RefusalCode, refusals } from '../refusals.ts'

/** What every request may be answered with, whatever its route. */
const always = [
  'invalid_request',
  'route_not_found',
  'request_timeout',
  'uri_too_long',
  'headers_too_large',
  'internal_error',
  'database_unavailable',
  'overloaded',
  'not_ready',
  'draining',
] as const satisfies RefusalCode[]

/** What a route with a body may be answered with besides. */
export const bodyRefusals = [
  'payload_too_large',
  'unsupported_media_type',
  'unstorable_json',
] as const

const RetryAfter = z.int().min(1).meta({ description: 'Seconds to stay away.' })

function problemOf(status: number, codes: RefusalCode[]) {
  return z
    .looseObject({
      type: z.string().describe('A URN that names the code.'),
      title: z.string().describe('The sentence of the code.'),
      status: z.literal(status),
      detail: z.string().describe('What is wrong with this request and what to do.'),
      code: z.enum(codes),
      ...(status === 400 || status === 413
        ? {
            errors: z
              .array(z.object({ path: z.string(), message: z.string() }))
              .optional()
              .describe('Each member that breaks a rule: where, and which rule.'),
          }
        : {}),
      ...(status >= 500
        ? {
            effect: z
              .enum(['none', 'unknown'])
              .describe('Whether the call may have had an effect.'),
          }
        : {}),
    })
    .describe(codes.map(code => `${code}: ${refusals[code][1]}`).join('\n'))
}

/** The response schemas of a route that can be refused with these codes, and with what any route can. */
export function refusedWith(...codes: RefusalCode[]) {
  const byStatus = new Map<number, RefusalCode[]>()
  for (const code of new Set([...codes, ...always])) {
    const [status] = refusals[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus].map(([status, sameStatus]) => [
      status,
      {
        description: sameStatus.join(', '),
        ...(status === 503 ? { headers: { 'Retry-After': RetryAfter } } : {}),
        content: { 'application/problem+json': { schema: problemOf(status, sameStatus) } },
      },
    ]),
  )
}
