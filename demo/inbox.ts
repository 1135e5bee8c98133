import { createHash } from 'node:crypto'
import type { IncomingMessage, RequestListener } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { isSigned } from './signature.ts'

export const CALLBACK_PATH = '/callback'
export const REFUSED_ATTEMPTS = 2

/** One attempt of the callback, as its receiver saw it. */
export interface Attempt {
  webhook_id: string
  received_at: string
  /** What it was answered. */
  status: number
  signature: 'verified' | 'wrong' | 'not checked'
  /** Of the body, byte for byte. */
  sha256: string
}

/**
 * Answers the first two attempts with 500 and all later ones with 204. Each is handed on before it is answered, so that
 * none is missing whose sender does not wait for the answer. Without secrets no signature is checked.
 */
export function inbox(
  secrets: string[],
  handOn: (attempt: Attempt, body: string) => Promise<void>,
): RequestListener {
  let attempts = 0

  async function receive(request: IncomingMessage): Promise<number> {
    if (request.method !== 'POST' || request.url !== CALLBACK_PATH) return 404
    const body = await buffer(request)
    attempts += 1
    const status = attempts <= REFUSED_ATTEMPTS ? 500 : 204
    const signed = {
      id: header(request, 'webhook-id'),
      timestamp: header(request, 'webhook-timestamp'),
      signature: header(request, 'webhook-signature'),
      body,
    }
    const now = Date.now()
    const verified = isSigned(signed, secrets, now) ? 'verified' : 'wrong'
    const attempt: Attempt = {
      webhook_id: signed.id,
      received_at: new Date(now).toISOString(),
      status,
      signature: secrets.length === 0 ? 'not checked' : verified,
      sha256: createHash('sha256').update(body).digest('hex'),
    }
    await handOn(attempt, body.toString())
    return status
  }

  return (request, response) => {
    receive(request).then(
      status => response.writeHead(status).end(),
      // The body broke off: that was no delivery.
      () => response.destroy(),
    )
  }
}

function header({ headers }: IncomingMessage, name: string): string {
  return String(headers[name] ?? '')
}
