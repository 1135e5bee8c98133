import type { Socket } from 'node:net'
import { type buildConnector, Client } from 'undici'
import { isPublic } from './addresses.ts'
import { Unreached } from './unreached.ts'

/** The most that a receiver may send in one attempt: all bytes read after the handshake. */
export const MOST_BYTES = 64 * 1024
/** How often the count is checked while nothing can be read, such as during TLS tickets without end. */
const LOOK_MS = 250

/**
 * The one connection of one attempt. undici skips bytes before a status or around a body, such as `103 Early Hints` and
 * extensions of chunks, without a limit: so the bytes of the socket are counted.
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
      // A connection serves one attempt: callbacks to one host are rare, and a connection that the receiver is just closing
      // would fail the next attempt for nothing.
      pipelining: 0,
      // These count from chunk to chunk, so they never end a slow drip. The attempt has one clock of its own.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /** Whether anybody on the internet could have asked the receiver the same. */
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
  // This listener runs before the parser, which is added later.
  socket.on('readable', look)
  const timer = setInterval(look, LOOK_MS)
  socket.once('close', () => clearInterval(timer))
}
