/** The examples of one operation. All operations show the same run of three invoices and share the values below. */
export interface Examples {
  request?: Record<string, unknown>
  /** By status. */
  replies: Record<string, Record<string, unknown>>
}

export const token = '1.1.qJk3Vd0xS0u1n2cQm8rV6w'
export const begun = '2026-11-23T09:30:00.123456Z'
export const claimed_at = '2026-11-23T09:30:05.000021Z'
export const lease_expires_at = '2026-11-23T09:31:05.000021Z'
export const expires_at = '2026-11-23T15:30:00.123456Z'
export const counts = { total: 3, succeeded: 1, failed: 0, remaining: 2 }
export const subject = { batch_index: 0, generation: 1 }
export const invoice = { invoice: 'A-1001', pages: 12 }
