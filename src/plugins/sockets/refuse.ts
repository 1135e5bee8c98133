import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { stringify } from '../../json/raw.ts'
import { Refusal, type RefusalCode } from '../../refusals.ts'
import type { Sockets } from './sockets.ts'

/** Node's errors of connections that never became a request. */
const byNodeCode: Readonly<Record<string, RefusalCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
  HPE_HEADER_OVERFLOW: 'headers_too_large',
}

/** How long a caller may take to end its side. */
const GOODBYE_MS = 1_000

/** Serves as Fastify's `clientErrorHandler`, for bytes that are no HTTP request. */
export function refuseConnection(
  sockets: Sockets,
  error: Error & { code?: string },
  socket: Socket,
): void {
  // A socket that was opened in advance and never used gets no reply: it is not a late request.
  if (error.code === 'ECONNRESET' || socket.bytesRead === 0) return void socket.destroy()
  const code = byNodeCode[error.code ?? '']
  const message = 'The request is not HTTP/1.1.'
  refuse(
    sockets,
    socket,
    code
      ? new Refusal(code)
      : new Refusal('invalid_request', { detail: message, errors: [{ path: '', message }] }),
  )
}

/** Refuses CONNECT, for which Node hands over the socket in place of a response. */
export function refuseTunnel(sockets: Sockets, socket: Socket): void {
  socket.on('error', () => socket.destroy())
  const detail = 'CONNECT is not allowed here; this is no proxy.'
  const headers = { allow: 'GET, HEAD, POST, DELETE' }
  refuse(sockets, socket, new Refusal('method_not_allowed', { detail }, { headers }))
}

/** Writes to the socket, because there is no response. If other replies are open, the caller could mistake it for one of them: then the socket is only destroyed. */
function refuse(sockets: Sockets, socket: Socket, refusal: Refusal): void {
  if (!socket.writable || !sockets.isFree(socket)) return void socket.destroy()
  const text = stringify(refusal.problem)
  const headers = {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(text),
    'x-content-type-options': 'nosniff',
    connection: 'close',
    ...refusal.headers,
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const status = `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}`
  socket.end([status, ...lines, '', text].join('\r\n'))
  socket.setTimeout(GOODBYE_MS, () => socket.destroy())
}
