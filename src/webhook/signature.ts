import { createHmac } from 'node:crypto'

const PREFIX = 'whsec_'

interface Signed {
  /** The same on every attempt. */
  id: string
  /** Seconds since 1970, when the attempt begins: receivers refuse a message older than some minutes. */
  timestamp: number
  body: string
  /** Newest first; while a secret is rotated a receiver accepts either signature. */
  secrets: readonly string[]
}

/**
 * The headers of Standard Webhooks (https://www.standardwebhooks.com). Ten lines of node:crypto in place of the library,
 * which has HMAC and base64 of its own in JavaScript. The tests verify the signatures with the library. Without a secret
 * there is no signature.
 */
export function sign({ id, timestamp, body, secrets }: Signed): Record<string, string> {
  const signatures = secrets.map(secret => {
    const hmac = createHmac('sha256', bytesOf(secret)).update(`${id}.${timestamp}.${body}`)
    return `v1,${hmac.digest('base64')}`
  })
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    ...(signatures.length > 0 && { 'webhook-signature': signatures.join(' ') }),
  }
}

/** Whether this is `whsec_` and the base64 of 24 to 64 bytes, as Standard Webhooks asks. */
export function isSecret(text: string): boolean {
  const bytes = bytesOf(text)
  return text === `${PREFIX}${bytes.toString('base64')}` && bytes.length >= 24 && bytes.length <= 64
}

function bytesOf(secret: string): Buffer {
  return Buffer.from(secret.slice(PREFIX.length), 'base64')
}
