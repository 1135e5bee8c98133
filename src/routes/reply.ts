import type { z } from 'zod'

/** The response schema of a reply that is no refusal: its description, its JSON and its headers. */
export function repliedWith<Json extends z.ZodType>(
  description: string,
  schema: Json,
  headers: Record<string, z.ZodType> = {},
) {
  return { description, headers, content: { 'application/json': { schema } } }
}
