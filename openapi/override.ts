import { z } from 'zod'
import type { RegistryToJSONSchemaParams } from 'zod/v4/core'

type Override = NonNullable<RegistryToJSONSchemaParams['override']>

/** Removes or shortens parts of the JSON schemas that zod makes. */
export const override: Override = ({ zodSchema, jsonSchema }) => {
  // A reply may gain members later, and a closed schema would then break strict clients. Only requests are strict.
  if (zodSchema instanceof z.ZodObject && !(zodSchema.def.catchall instanceof z.ZodNever))
    delete jsonSchema.additionalProperties
  // 3.1 has a shorter form for "one type or null".
  const [one, other, ...more] = jsonSchema.anyOf ?? []
  if (one && other?.type === 'null' && more.length === 0 && typeof one.type === 'string') {
    delete jsonSchema.anyOf
    if (one.enum) one.enum = [...one.enum, null]
    Object.assign(jsonSchema, { ...one, ...jsonSchema, type: [one.type, 'null'] })
  }
  // The pattern of a number in a path is about its text, and that of a date-time has 300 characters.
  if (jsonSchema.type === 'integer' || jsonSchema.format === 'date-time') delete jsonSchema.pattern
}
