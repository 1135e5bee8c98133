import type { SwaggerTransform } from '@fastify/swagger'
import { z } from 'zod'

interface WithHeaders {
  headers?: Record<string, z.ZodType>
}

/**
 * The transform of the type provider keeps schema and description of a reply, and drops its headers. This puts them
 * back, as the JSON schemas that @fastify/swagger expects. A correction later moves `required` to its place.
 */
export function withHeaders(transform: SwaggerTransform): SwaggerTransform {
  return route => {
    const { schema, url } = transform(route)
    const is30 = 'openapiObject' in route && route.openapiObject.openapi?.startsWith('3.0')
    const target = is30 ? 'openapi-3.0' : 'draft-2020-12'
    const replies = (route.schema?.response ?? {}) as Record<string, WithHeaders>
    const made = (schema as { response?: Record<string, object> } | undefined)?.response ?? {}
    for (const [status, { headers }] of Object.entries(replies)) {
      if (headers) made[status] = { ...made[status], headers: headerSchemas(headers, target) }
    }
    return { schema, url }
  }
}

function headerSchemas(
  headers: Record<string, z.ZodType>,
  target: 'openapi-3.0' | 'draft-2020-12',
): Record<string, object> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, schema]) => {
      const { $schema: _, ...json } = z.toJSONSchema(schema, { target })
      return [name, { ...json, required: !schema.safeParse(undefined).success }]
    }),
  )
}
