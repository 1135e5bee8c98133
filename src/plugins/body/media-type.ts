import type { IncomingMessage } from 'node:http'
import { Refusal } from '../../refusals.ts'

/** The refusal of a body with these headers, or nothing if it may be read. */
export function refusedMediaType({ headers, rawHeaders }: IncomingMessage): Refusal | undefined {
  const { 'content-type': type, 'content-encoding': encoding } = headers
  const { 'transfer-encoding': transfer } = headers
  if (transfer !== undefined && transfer.toLowerCase() !== 'chunked')
    return refused(`The Transfer-Encoding has to be chunked, got ${transfer}.`)
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
    return refused(`The Content-Encoding has to be left out, got ${encoding}.`)
  // Of several, `headers` has only the first.
  if (contentTypes(rawHeaders) > 1) return refused('The Content-Type has to be there once.')
  return type === 'application/json' ? undefined : refusedType(type)
}

function refusedType(type: string | undefined): Refusal | undefined {
  if (type === undefined) return refused('The Content-Type has to be application/json.')
  const [name = '', ...parameters] = type.split(';').map(part => part.trim().toLowerCase())
  if (name !== 'application/json')
    return refused(`The Content-Type has to be application/json, got ${type}.`)
  const charset = parameters
    .filter(parameter => /^charset\s*=/.test(parameter))
    .find(parameter => !/^charset\s*=\s*("utf-?8"|utf-?8)$/.test(parameter))
  return charset === undefined
    ? undefined
    : refused(`The charset of the Content-Type has to be utf-8, got ${type}.`)
}

function contentTypes(rawHeaders: string[]): number {
  let count = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === 12 && name.toLowerCase() === 'content-type') count += 1
  }
  return count
}

function refused(detail: string): Refusal {
  return new Refusal('unsupported_media_type', { detail })
}
