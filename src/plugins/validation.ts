import plugin from 'fastify-plugin'
import { z } from 'zod'
import { shown } from '../json/shown.ts'
import { stringify } from '../json/raw.ts'
import { Refusal } from '../refusals.ts'
import { escapeUnseen } from '../unseen.ts'

/** Zod schemas judge requests. Replies are written unchecked: tests compare them with the document. */
export const validation = plugin(
  async app => {
    app.setValidatorCompiler<z.ZodType>(({ schema }) => data => {
      // Fastify passes an absent body as null; a body that is JSON null was already refused when it was read.
      const input = data ?? {}
      // The path finds the value, without zod's `reportInput`, which costs a quarter of the time that a claim takes in Node.
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

/** How many errors a refusal names: a thousand members can break a rule each. */
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

/** Names the member, the rule and the value, in this order; `key` is an unknown member. */
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
