import { createHash } from 'node:crypto'
import type { IncomingMessage, RequestListener } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { Webhook, WebhookVerificationError } from 'standardwebhooks'

export const CALLBACK_PATH = '/callback'
export const REFUSED_ATTEMPTS = 2

/** One attempt of the callback, as its receiver saw it. */
export interface Attempt {
  webhook_id: string
  received_at: string
  /** The status with which the receiver answered. */
  status: number
  signature: 'verified' | 'wrong' | 'not checked'
  /** The hash of the body, byte for byte. */
  sha256: string
}

/**
 * Answers the first two attempts with 500 and all later ones with 204. Each is handed on before it is answered, so that
 * none is lost even if its sender does not wait for the answer. Without secrets no signature is checked.
 */
export function inbox(
  secrets: string[],
  handOn: (attempt: Attempt, body: string) => Promise<void>,
): RequestListener {
  const webhooks = secrets.map(secret => new Webhook(secret))
  let attempts = 0

  async function receive(request: IncomingMessage): Promise<number> {
    if (request.method !== 'POST' || request.url !== CALLBACK_PATH) return 404
    const body = await buffer(request)
    attempts += 1
    const status = attempts <= REFUSED_ATTEMPTS ? 500 : 204
    const headers = {
      'webhook-id': header(request, 'webhook-id'),
      'webhook-timestamp': header(request, 'webhook-timestamp'),
      'webhook-signature': header(request, 'webhook-signature'),
    }
    const isVerified = webhooks.some(webhook => verifies(webhook, headers, body))
    const verified = isVerified ? 'verified' : 'wrong'
    const attempt: Attempt = {
      webhook_id: headers['webhook-id'],
      received_at: new Date().toISOString(),
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
      // The body broke off, so this was no delivery.
      () => response.destroy(),
    )
  }
}

/** The library throws if a signature does not fit the secret or is older than five minutes. */
function verifies(webhook: Webhook, headers: Record<string, string>, body: Buffer): boolean {
  try {
    webhook.verify(body, headers, { jsonParse: false })
    return true
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false
    throw error
  }
}

function header({ headers }: IncomingMessage, name: string): string {
  return String(headers[name] ?? '')
}
