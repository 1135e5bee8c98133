import { isIP } from 'node:net'
import { buildConnector } from 'undici'
import type { Guard } from './guard.ts'
import { Unreached } from './unreached.ts'

/** Connects only where the guard permits it. `timeout_ms` covers everything up to the end of the TLS handshake. */
export function guardedConnector(guard: Guard, timeout_ms: number): buildConnector.connector {
  const common = {
    timeout: timeout_ms,
    // For each address of a name; Node's quarter of a second is too short for receivers on another continent.
    autoSelectFamilyAttemptTimeout: Math.ceil(timeout_ms / 3),
  }
  const connectors = {
    'http:': buildConnector({ ...common, lookup: guard.lookupFor('http:') }),
    'https:': buildConnector({ ...common, lookup: guard.lookupFor('https:') }),
  }

  return (options, callback) => {
    const { hostname } = options
    const protocol = options.protocol === 'http:' ? 'http:' : 'https:'
    const refusalOf = (address: string) => {
      const refusal = guard.refusalOfAddress(address, { protocol, hostname })
      return refusal === undefined ? undefined : new Unreached('unreachable', refusal)
    }

    // An address is never looked up.
    const refusal = isIP(hostname) ? refusalOf(hostname) : undefined
    if (refusal) return callback(refusal, null)
    connectors[protocol](options, (error, socket) => {
      if (error) return callback(classified(error, protocol), null)
      // Only a TLS handshake has happened so far. A socket that is already closed has no address, and is refused too.
      const late = refusalOf(socket.remoteAddress ?? '')
      if (late) socket.destroy()
      return late ? callback(late, null) : callback(null, socket)
    })
  }
}

/** Errors of the TCP connection; every other one is TLS. */
const TCP_ERRORS = new Set([
  'EACCES',
  'EADDRNOTAVAIL',
  'ECONNREFUSED',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'EPERM',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
])

function classified(error: Error, protocol: string): Unreached {
  if (error instanceof Unreached) return error
  const tcp = protocol === 'http:' || ('code' in error && TCP_ERRORS.has(String(error.code)))
  return new Unreached(tcp ? 'connect' : 'tls', error.message, { cause: error })
}
