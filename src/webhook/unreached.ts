/**
 * Why an attempt brought no status. Producers may read it, so it tells no more than a receiver's owner needs: a finer
 * class would make a port scanner of the service.
 *
 * - `unreachable`: the name has no address, or none that may be called from here. One word for both, because two would tell
 *   which names exist inside this network.
 * - `connect`: no connection came about.
 * - `tls`: a connection, but no trust in who answered.
 * - `timeout`: no status within the time of an attempt.
 * - `no_response`: the connection broke off, or what came was not HTTP.
 */
export type AttemptError = 'unreachable' | 'connect' | 'tls' | 'timeout' | 'no_response'

/** The end of an attempt that brought no status. The message is for the log. */
export class Unreached extends Error {
  override name = 'Unreached'
  readonly kind: AttemptError

  constructor(kind: AttemptError, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}
