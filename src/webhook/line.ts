import type { Socket } from 'node:net'
import { type buildConnector, Client } from 'undici'
import { isPublic } from './addresses.ts'
import { Unreached } from './unreached.ts'

/** What a receiver may send in one attempt: the handshake left out, all of it that is read. */
export const MOST_BYTES = 64 * 1024
/** How often is looked at what brings nothing to read, such as tickets of TLS without end. */
const LOOK_MS = 250

/**
 * The one connection of one attempt. undici passes over what comes before a status or around a body, such as `103 Early Hints`
 * and extensions of chunks, however much it is: so the bytes of the socket are counted.
 */
export class Line {
  readonly client: Client
  #peer = ''

  constructor(url: URL, connect: buildConnector.connector) {
    this.client = new Client(url.origin, {
      connect: (options, callback) =>
        connect(options, (...[error, socket]) => {
          if (error) return callback(error, null)
          this.#peer = socket.remoteAddress ?? ''
          bound(socket)
          callback(null, socket)
        }),
      // A connection serves one attempt: callbacks to one host are rare, and one on a connection that the receiver is just
      // closing would fail for nothing.
      pipelining: 0,
      // These count from chunk to chunk, so a drip is never late. The attempt has one clock of its own.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /** Whether anybody on the internet could have asked the same of the receiver. */
  get isPublic(): boolean {
    return isPublic(this.#peer)
  }
}

function bound(socket: Socket): void {
  const before = socket.bytesRead
  const look = () => {
    if (socket.bytesRead - before <= MOST_BYTES) return
    socket.destroy(new Unreached('no_response', `More than ${MOST_BYTES} bytes came.`))
  }
  // Ahead of the parser, which is added after this.
  socket.on('readable', look)
  const timer = setInterval(look, LOOK_MS)
  socket.once('close', () => clearInterval(timer))
}
