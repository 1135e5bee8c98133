/**
 * Why an attempt brought no status. Producers may read it, so it shows no more than a receiver's owner needs: finer
 * classes would turn the service into a port scanner.
 *
 * - `unreachable`: the name has no address, or none that may be called from here. One word for both, because two would show
 *   which names exist inside this network.
 * - `connect`: no connection came about.
 * - `tls`: a connection, but no trust in the host that answered.
 * - `timeout`: no status within the time of an attempt.
 * - `no_response`: the connection broke off, or the answer was not HTTP.
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
