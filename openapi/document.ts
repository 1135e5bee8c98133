/** The part of OpenAPI, 3.0 and 3.1 alike, that the corrections touch. */
export interface Schema {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  additionalProperties?: Schema | boolean
  [keyword: string]: unknown
}

export interface Media {
  schema: Schema
  examples?: Record<string, { value: unknown }>
}

export interface Header {
  description?: string
  required?: boolean
  schema: Schema
}

export interface Response {
  $ref?: string
  description: string
  headers?: Record<string, Header>
  content?: Record<string, Media>
}

export interface Operation {
  operationId: string
  summary?: string
  tags?: string[]
  parameters?: { name: string; in: string; required?: boolean; schema: Schema }[]
  requestBody?: { required?: boolean; content: Record<string, Media> }
  responses: Record<string, Response>
}

export interface Document {
  openapi: string
  info: { title: string; version: string; description: string }
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema>; responses?: Record<string, Response> }
}

export function* operationsOf({ paths }: Pick<Document, 'paths'>): Generator<Operation> {
  for (const path of Object.values(paths)) yield* Object.values(path)
}

export function* responsesOf(document: Pick<Document, 'paths'>): Generator<Response> {
  for (const { responses } of operationsOf(document)) yield* Object.values(responses)
}

/** Every schema at any depth, once for each place in which it stands. */
export function* schemasOf(document: Pick<Document, 'paths' | 'components'>): Generator<Schema> {
  for (const schema of Object.values(document.components.schemas)) yield* within(schema)
  for (const { parameters = [], requestBody, responses } of operationsOf(document)) {
    for (const { schema } of parameters) yield* within(schema)
    const bodies = [requestBody, ...Object.values(responses)]
    for (const { schema } of bodies.flatMap(body => Object.values(body?.content ?? {})))
      yield* within(schema)
    for (const { headers = {} } of Object.values(responses)) {
      for (const { schema } of Object.values(headers)) yield* within(schema)
    }
  }
}

/** The schema and all within it, the outer first. */
export function* within(schema: Schema): Generator<Schema> {
  yield schema
  const {
    properties = {},
    items,
    additionalProperties,
    anyOf = [],
    oneOf = [],
    allOf = [],
  } = schema
  const inner = [
    ...Object.values(properties),
    items,
    additionalProperties,
    ...anyOf,
    ...oneOf,
    ...allOf,
  ]
  for (const one of inner) if (typeof one === 'object') yield* within(one)
}
