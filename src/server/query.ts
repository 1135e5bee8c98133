import { type ParsedUrlQuery, parse } from 'node:querystring'

/** What stands in for a value that is not UTF-8: ill-formed, so that every schema refuses it under its name. */
const ILL_FORMED = '\ud800'

/** For Fastify's router, whose own parser would turn wrong bytes into U+FFFD and two values into one. */
export function parseQuery(text: string): ParsedUrlQuery {
  return parse(text, '&', '=', { decodeURIComponent: decoded })
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ILL_FORMED
  }
}
