import { STATUS_CODES } from 'node:http'
import type { RefusalCode } from '../src/refusals.ts'
import {
  type Document,
  type Operation,
  operationsOf,
  type Response,
  responsesOf,
  schemasOf,
} from './document.ts'
import { examples, problemExample } from './examples.ts'

/** Corrects the document that the libraries make of the routes. Each correction changes it in place. */
export function correct(document: Document): Document {
  writeExamplesOfSchemas(document)
  requireBodiesWithRequiredMembers(document)
  requireHeaders(document)
  capitalizeHeaders(document)
  discriminateUnions(document)
  addExamples(document)
  shareRefusals(document)
  keepUsedComponents(document)
  const { openapi, info, components, paths, ...about } = document
  return { openapi, info, ...about, paths, components }
}

/** In 3.0 a schema has one example, in 3.1 a list of them. */
function writeExamplesOfSchemas(document: Document): void {
  if (!document.openapi.startsWith('3.0')) return
  for (const schema of schemasOf(document)) {
    if (!Array.isArray(schema['examples'])) continue
    const [example] = schema['examples'] as unknown[]
    schema['example'] = example
    delete schema['examples']
  }
}

/** A body may be left out if no member of it is required. A body without members is not in the document. */
function requireBodiesWithRequiredMembers(document: Document): void {
  for (const operation of operationsOf(document)) {
    const { requestBody } = operation
    const schemas = Object.values(requestBody?.content ?? {}).map(({ schema }) => schema)
    if (requestBody) requestBody.required = schemas.some(({ required = [] }) => required.length > 0)
    const isEmpty = schemas.every(({ properties = {} }) => Object.keys(properties).length === 0)
    if (isEmpty) delete operation.requestBody
  }
}

/** @fastify/swagger has no place for `required` of a header, so it comes inside the schema. */
function requireHeaders(document: Document): void {
  for (const { headers = {} } of responsesOf(document)) {
    for (const header of Object.values(headers)) {
      header.required = Boolean(header.schema.required)
      delete header.schema.required
    }
  }
}

/** The schemas that judge headers name them in lower case, because Node does. */
function capitalizeHeaders(document: Document): void {
  for (const { parameters = [] } of operationsOf(document)) {
    for (const parameter of parameters.filter(({ in: place }) => place === 'header')) {
      parameter.name = parameter.name.replaceAll(/\b[a-z]/g, letter => letter.toUpperCase())
    }
  }
}

/** Generators make one class for each outcome only if the document names the member in which they differ. */
function discriminateUnions({ paths, components }: Document): void {
  for (const schema of schemasOf({ paths, components })) {
    const members = schema.oneOf?.map(({ $ref = '' }) => $ref) ?? []
    if (members.length === 0 || members.includes('')) continue
    const mapping = members.flatMap($ref => {
      const { outcome } = components.schemas[nameOf($ref)]?.properties ?? {}
      return (outcome?.enum ?? [outcome?.const]).map(value => [String(value), $ref])
    })
    schema['discriminator'] = { propertyName: 'outcome', mapping: Object.fromEntries(mapping) }
  }
}

/** Adds requests and replies of one story, which a test checks against their schemas. */
function addExamples(document: Document): void {
  for (const { operationId, requestBody, responses } of operationsOf(document)) {
    const { request, replies = {} } = examples[operationId] ?? {}
    const [body] = Object.values(requestBody?.content ?? {})
    if (body && request) body.examples = named(request)
    for (const [status, ofStatus] of Object.entries(replies)) {
      const reply = responses[status]?.content?.['application/json']
      if (reply) reply.examples = named(ofStatus)
    }
    for (const response of Object.values(responses)) {
      const problem = response.content?.['application/problem+json']
      if (!problem) continue
      problem.examples = named(
        Object.fromEntries(codesOf(response).map(code => [code, problemExample(code)])),
      )
    }
  }
}

function named(values: Record<string, unknown>): Record<string, { value: unknown }> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }]))
}

/**
 * The refusals of all routes are few, so each is described once. A refusal that is the only one of its status is named by
 * its status, the others by their codes.
 */
function shareRefusals(document: Document): void {
  const shared = new Map<string, { status: string; response: Response }>()
  const operations = [...operationsOf(document)]
  for (const [status, response] of operations.flatMap(refusalsOf)) {
    shared.set(JSON.stringify(response), { status, response })
  }
  const statuses = [...shared.values()].map(({ status }) => status)
  const nameFor = (status: string, response: Response) =>
    statuses.filter(other => other === status).length === 1
      ? pascalCase(STATUS_CODES[status] ?? status)
      : codesOf(response).map(pascalCase).join('Or')
  const responses = [...shared.values()]
    .map(({ status, response }) => [nameFor(status, response), response] as const)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
  document.components.responses = Object.fromEntries(responses)
  for (const operation of operations) {
    for (const [status, response] of refusalsOf(operation)) {
      const $ref = `#/components/responses/${nameFor(status, response)}`
      operation.responses[status] = { $ref } as Response
    }
  }
}

function refusalsOf({ responses }: Operation): [status: string, Response][] {
  return Object.entries(responses).filter(
    ([, { content }]) => content?.['application/problem+json'],
  )
}

function codesOf({ content = {} }: Response): RefusalCode[] {
  return Object.values(content).flatMap(
    ({ schema }) => (schema.properties?.['code']?.enum ?? []) as RefusalCode[],
  )
}

function pascalCase(words: string): string {
  return words
    .split(/[\s_-]+/)
    .map(word => word.charAt(0).toUpperCase() + word.slice(1).toLowerCase())
    .join('')
}

/** The libraries make each component twice, for requests and for replies, even if nothing refers to it. */
function keepUsedComponents(document: Document): void {
  const { paths, components } = document
  const used = new Set<string>()
  const collect = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      if (key !== '$ref') collect(inner)
      else if (!used.has(nameOf(inner as string))) {
        used.add(nameOf(inner as string))
        collect(components.schemas[nameOf(inner as string)])
      }
    }
  }
  collect([paths, components.responses])
  components.schemas = Object.fromEntries(
    Object.entries(components.schemas)
      .filter(([name]) => used.has(name))
      .toSorted(([one], [other]) => (one < other ? -1 : 1)),
  )
}

function nameOf($ref: string): string {
  return $ref.slice($ref.lastIndexOf('/') + 1)
}
