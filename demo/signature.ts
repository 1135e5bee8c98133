import { createHmac, timingSafeEqual } from 'node:crypto'

/** Older or newer than this, a message may be a recorded one that somebody plays again. */
const TOLERANCE_SECONDS = 5 * 60
const SECRET = 'whsec_'
const VERSION = 'v1,'

/** One delivery as it came, before anything in it is believed. */
export interface Signed {
  id: string
  timestamp: string
  /** The header as it is: several signatures, while a secret is rotated, are separated by spaces. */
  signature: string
  body: Buffer
}

/** Verifies as Standard Webhooks asks. It is written out here, since a receiver shares no code with the service. */
export function isSigned(signed: Signed, secrets: string[], now: number): boolean {
  const { id, timestamp, signature } = signed
  if (id === '' || !/^\d+$/.test(timestamp)) return false
  if (Math.abs(now / 1_000 - Number(timestamp)) > TOLERANCE_SECONDS) return false
  const shown = signature
    .split(' ')
    .filter(part => part.startsWith(VERSION))
    .map(part => Buffer.from(part.slice(VERSION.length), 'base64'))
  return secrets.some(secret => {
    const expected = sign(signed, secret)
    return shown.some(one => one.length === expected.length && timingSafeEqual(one, expected))
  })
}

function sign({ id, timestamp, body }: Signed, secret: string): Buffer {
  const key = Buffer.from(secret.replace(SECRET, ''), 'base64')
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest()
}
