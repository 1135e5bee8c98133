import { z } from 'zod'
import type { RegistryToJSONSchemaParams } from 'zod/v4/core'

type Override = NonNullable<RegistryToJSONSchemaParams['override']>

/** What zod says too much of in the JSON of a schema, or in more words than are needed. */
export const override: Override = ({ zodSchema, jsonSchema }) => {
  // A reply may gain members later: a schema that closes it makes strict clients break on that day. Only requests are strict.
  if (zodSchema instanceof z.ZodObject && !(zodSchema.def.catchall instanceof z.ZodNever))
    delete jsonSchema.additionalProperties
  // Where it is one type or null, 3.1 says so shorter.
  const [one, other, ...more] = jsonSchema.anyOf ?? []
  if (one && other?.type === 'null' && more.length === 0 && typeof one.type === 'string') {
    delete jsonSchema.anyOf
    if (one.enum) one.enum = [...one.enum, null]
    Object.assign(jsonSchema, { ...one, ...jsonSchema, type: [one.type, 'null'] })
  }
  // The pattern of a number in a path is for its text, and the one of a date-time is of 300 characters.
  if (jsonSchema.type === 'integer' || jsonSchema.format === 'date-time') delete jsonSchema.pattern
}
