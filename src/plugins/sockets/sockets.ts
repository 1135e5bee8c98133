import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { LEAST_BYTES_PER_SECOND } from '../body/upload.ts'

/** A socket on which more requests wait for their replies is cut: one read brings 900 of them, and no honest client pipelines deeper. */
export const MOST_QUEUED = 16

/** The bytes of all replies that callers have not taken. Above that, the socket whose reply waits longest is cut. */
export const MOST_UNREAD_BYTES = 16 * 1024 * 1024

/** How long a caller may take over one reply, and how long once the service stops. */
export const PATIENCE_MS = 60_000
const LAST_PATIENCE_MS = 1_000

/** How long an idle socket is kept, and how long once three quarters of all sockets are open. */
export const KEEP_ALIVE_MS = 75_000
export const SCARCE_KEEP_ALIVE_MS = 5_000

/** How long a request may take to arrive: its head, and all of it. */
export const HEAD_MS = 10_000
export const REQUEST_MS = 30_000

/** A reply that its caller has to take. Once the service stops, also the progress of a request that has not arrived whole: its bytes in units of the least rate. */
type Awaited = ServerResponse | number

/** The open requests of one socket in the order of their arrival. The reply to the first one has the socket. */
interface Queue {
  readonly responses: Set<ServerResponse>
  /** The thing that its caller owed at the last look, and the moment since which that has not changed. */
  awaited: Awaited | undefined
  since: number
}

/**
 * Every socket of a caller, and the requests queued on it. It bounds the replies that callers leave unread. When a caller is
 * gone, Node closes only the response that has the socket; this closes all others as well.
 */
export class Sockets {
  readonly #most: number
  readonly #queues = new Map<Socket, Queue>()
  /** Large replies on their way, the oldest first, with their bytes. */
  readonly #unread = new Map<ServerResponse, number>()
  #unreadBytes = 0
  #patienceMs = PATIENCE_MS
  #isStopping = false

  constructor(most: number) {
    this.#most = most
  }

  /** Serves as Fastify's `serverFactory`: requests of this server are counted before they are routed. */
  serverFor(handle: RequestListener): Server {
    const server = createServer(
      {
        headersTimeout: HEAD_MS,
        requestTimeout: REQUEST_MS,
        connectionsCheckingInterval: 1_000,
        keepAliveTimeout: KEEP_ALIVE_MS,
        // Node's own refusal has an empty body. Ours is in src/plugins/framing.ts, like that of an unknown Expect.
        requireHostHeader: false,
      },
      (request, response) => {
        if (this.#enters(request.socket, response)) handle(request, response)
      },
    )
    server.on('connection', socket => this.#open(server, socket))
    server.on('checkExpectation', (request, response) => server.emit('request', request, response))
    return server
  }

  /** Whether bytes written to the socket can only be the reply to its last request: that one is not whole, and no other is open. */
  isFree(socket: Socket): boolean {
    const [first, second] = this.#queues.get(socket)?.responses ?? []
    return second === undefined && !first?.req.complete && !first?.headersSent
  }

  /** Counts a large reply as unread until its response closes. */
  sent(response: ServerResponse, bytes: number): void {
    // Tests inject requests without a socket, and those leave nothing unread.
    if (!this.#queues.has(response.req.socket)) return
    this.#unread.set(response, bytes)
    this.#unreadBytes += bytes
    for (const [oldest] of this.#unread) {
      if (this.#unreadBytes <= MOST_UNREAD_BYTES) return
      this.#cut(oldest.req.socket)
    }
  }

  /** Cuts every socket whose caller takes too long over a reply. Returns 0, so that the loop rests. */
  lookOnce(now = performance.now()): 0 {
    for (const [socket, queue] of this.#queues) {
      const [head] = queue.responses
      const awaited = head && this.#awaitedOf(head)
      if (awaited === undefined || awaited !== queue.awaited) {
        queue.awaited = awaited
        queue.since = now
      } else if (now - queue.since >= this.#patienceMs) this.#cut(socket)
    }
    return 0
  }

  /** Until the service stops, only the clocks of uploads and of Node judge a request that does not arrive. */
  #awaitedOf(head: ServerResponse): Awaited | undefined {
    if (head.writableEnded) return head
    const { complete, socket } = head.req
    const isLate = this.#isStopping && !complete
    return isLate ? Math.floor(socket.bytesRead / LEAST_BYTES_PER_SECOND) : undefined
  }

  /**
   * Called when the service stops. From now on a caller that does not read its reply is soon cut. So is one whose request does
   * not arrive: nothing was done for it yet, and another replica takes it.
   */
  hurry(now = performance.now()): void {
    this.#isStopping = true
    this.#patienceMs = LAST_PATIENCE_MS
    this.lookOnce(now)
  }

  #open(server: Server, socket: Socket): void {
    if (this.#queues.size >= this.#most) return void socket.destroy()
    const queue: Queue = { responses: new Set(), awaited: undefined, since: 0 }
    this.#queues.set(socket, queue)
    this.#keepAlive(server)
    // One listener for each socket, however many requests it brings.
    socket.once('close', () => {
      this.#queues.delete(socket)
      this.#keepAlive(server)
      for (const response of queue.responses) {
        if (response.socket !== null) continue
        response.destroy()
        response.emit('close')
      }
    })
  }

  /** Whether a request may go on. After one too many, the rest of the same read goes nowhere. */
  #enters(socket: Socket, response: ServerResponse): boolean {
    const queue = this.#queues.get(socket)
    if (queue === undefined || socket.destroyed) return false
    if (queue.responses.size >= MOST_QUEUED) {
      this.#cut(socket)
      return false
    }
    queue.responses.add(response)
    response.once('close', () => {
      queue.responses.delete(response)
      if (this.#unread.size > 0) this.#taken(response)
    })
    return true
  }

  /** Frees at once the bytes that its requests hold. Requests that have not reached their handlers never do. */
  #cut(socket: Socket): void {
    for (const response of this.#queues.get(socket)?.responses ?? []) {
      response.destroy()
      this.#taken(response)
    }
    stopParsing(socket)
    socket.destroy()
  }

  #taken(response: ServerResponse): void {
    this.#unreadBytes -= this.#unread.get(response) ?? 0
    this.#unread.delete(response)
  }

  #keepAlive(server: Server): void {
    const isScarce = this.#queues.size > this.#most * 0.75
    server.keepAliveTimeout = isScarce ? SCARCE_KEEP_ALIVE_MS : KEEP_ALIVE_MS
  }
}

/** The answer of `onIncoming` for a connection that changes its protocol: Node's parser then leaves the rest of a read alone. */
const LEAVE_THE_REST = 2

/**
 * After a socket is destroyed, Node still parses the bytes that it has read: 1,000 requests in one piece of 50 ms. There is no
 * public way to end that, so this does nothing where the parser has another shape.
 */
function stopParsing(socket: Socket): void {
  const { parser } = socket as Socket & { parser?: { onIncoming?: unknown } | null }
  if (typeof parser?.onIncoming === 'function') parser.onIncoming = () => LEAVE_THE_REST
}
