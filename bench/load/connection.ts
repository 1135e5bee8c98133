import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface Reply {
  status: number
  body: string
}

/**
 * One keep-alive connection with one request on it at a time. It is an own client, because the load generator runs on the
 * same cores as the service that it measures. It only writes one string and reads a status, a length and a body.
 */
export class Connection {
  readonly #socket: Socket
  readonly #origin: string
  #received: Buffer = Buffer.alloc(0)
  #needed = 0
  #settle: ((reply: Reply | Error) => void) | undefined

  constructor(origin: string, socket: Socket) {
    this.#origin = origin
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', chunk => this.#take(chunk))
    socket.on('error', error => this.#answer(error))
    socket.on('close', () => this.#answer(new Error('The connection was closed.')))
  }

  static async open(origin: string): Promise<Connection> {
    const { hostname, port } = new URL(origin)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    return new Connection(origin, socket)
  }

  /** The next request opens a broken connection anew. */
  async renewed(): Promise<Connection> {
    return this.#socket.destroyed ? Connection.open(this.#origin) : this
  }

  ask(method: string, path: string, body = ''): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#settle = reply => (reply instanceof Error ? reject(reply) : resolve(reply))
      const content =
        body === ''
          ? ''
          : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`
      this.#socket.write(`${method} ${path} HTTP/1.1\r\nhost: localhost\r\n${content}\r\n${body}`)
    })
  }

  close(): void {
    this.#settle = undefined
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    // A long reply comes in many pieces, and is read again only when it can be whole.
    if (this.#received.length < this.#needed) return
    const end = this.#received.indexOf('\r\n\r\n')
    if (end === -1) return
    const head = this.#received.toString('latin1', 0, end)
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1]
    if (length === undefined) return this.#answer(new Error(`No length: ${head}`))
    this.#needed = end + 4 + Number(length)
    if (this.#received.length < this.#needed) return
    const body = this.#received.toString('utf8', end + 4, this.#needed)
    this.#received = Buffer.alloc(0)
    this.#needed = 0
    this.#answer({ status: Number(head.slice(9, 12)), body })
  }

  #answer(reply: Reply | Error): void {
    const settle = this.#settle
    this.#settle = undefined
    settle?.(reply)
  }
}
