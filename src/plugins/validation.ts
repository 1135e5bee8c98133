import plugin from 'fastify-plugin'
import { z } from 'zod'
import { shown } from '../json/shown.ts'
import { stringify } from '../json/raw.ts'
import { Refusal } from '../refusals.ts'
import { escapeUnseen } from '../unseen.ts'

/** Requests are judged by their zod schemas, replies are written as they are: tests check them against the document. */
export const validation = plugin(
  async app => {
    app.setValidatorCompiler<z.ZodType>(({ schema }) => data => {
      // Fastify shows an absent body as null; a body that is JSON null was refused when it was read.
      const input = data ?? {}
      // Without zod's `reportInput`, which costs a quarter of all that a claim takes in node: the path finds the value.
      const judged = schema.safeParse(input)
      return judged.success ? { value: judged.data } : { error: refusalOf(judged.error, input) }
    })
    // A route that names no query takes none.
    app.addHook('onRoute', ({ schema }) => {
      if (schema) schema.querystring ??= z.strictObject({})
    })
    app.setSerializerCompiler(() => stringify)
    app.setReplySerializer(stringify)
  },
  { name: 'validation' },
)

/** At most so many are named: a thousand members can break a rule each. */
export const MOST_ERRORS = 20

interface FieldError {
  path: string
  message: string
}

function refusalOf({ issues }: z.ZodError, input: unknown): Refusal {
  const errors: FieldError[] = []
  let count = 0
  for (const issue of issues) {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : [undefined]
    for (const key of keys) {
      count += 1
      if (count <= MOST_ERRORS) errors.push(errorOf(issue, key, input))
    }
  }
  const [first] = errors
  const more = count > MOST_ERRORS ? ` And ${count - MOST_ERRORS} more than errors names.` : ''
  return new Refusal('invalid_request', {
    detail: `${first?.path ? `${first.path}: ` : ''}${first?.message ?? ''}${more}`,
    errors,
  })
}

/** The member, the rule and the value, in this order; `key` is one that nobody knows. */
function errorOf(
  { path, message }: z.core.$ZodIssue,
  key: string | undefined,
  input: unknown,
): FieldError {
  const where = [...path, ...(key === undefined ? [] : [key])].map(String).join('.')
  if (key !== undefined) return { path: where, message: 'There is no such member here.' }
  const value = path.reduce<unknown>(
    (whole, step) => (whole as Record<PropertyKey, unknown>)[step],
    input,
  )
  if (value === undefined) return { path: where, message: 'It is required.' }
  return { path: where, message: `${message}, got ${escapeUnseen(shown(value))}.` }
}
