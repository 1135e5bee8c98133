import { Unreached } from './unreached.ts'

/** Why an attempt brought no status. It is for the log, which people read who may not see callbacks: it names no receiver. */
export interface Cause {
  cause: string
  /** The code of Node, its DNS client, TLS or undici. */
  code?: string
}

const byCode: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_SOCKET: 'reset',
}

export function causeOf(error: unknown): Cause {
  const code = codeOf(error)
  return { cause: classOf(error, byCode[code ?? '']), ...(code !== undefined && { code }) }
}

function classOf(error: unknown, known: string | undefined): string {
  if (!(error instanceof Unreached)) {
    const isParser = error instanceof Error && error.name === 'HTTPParserError'
    return isParser ? 'not_http' : (known ?? 'broken')
  }
  switch (error.kind) {
    case 'unreachable':
      return error.cause === undefined ? 'not_allowed' : 'dns'
    case 'connect':
      return known ?? 'network'
    case 'no_response':
      return 'too_long'
    default:
      return error.kind
  }
}

/** The code of the error or of its cause. The message and other members may name a host or an address. */
function codeOf(error: unknown): string | undefined {
  return wordIn(error) ?? wordIn((error as Error | undefined)?.cause)
}

function wordIn(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' && /^\w{1,63}$/.test(code) ? code : undefined
}
