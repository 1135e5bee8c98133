import { randomFillSync } from 'node:crypto'

const BYTES = 16
/** Drawn for 256 nonces at once: one call for each took 8 % of a claim. */
const pool = Buffer.alloc(256 * BYTES)
let used = pool.length

/** 128 random bits: the random part of a token, by which an ask recognises its own writes. */
export function nonce(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  return pool.toString('base64url', used, (used += BYTES))
}
