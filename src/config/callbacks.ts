import { isAllowable } from '../webhook/guard.ts'
import { isSecret } from '../webhook/signature.ts'
import { list } from './values.ts'

/** How callbacks to URLs are signed, and where they may go. */
export const callbacks = {
  ROLLCALL_WEBHOOK_SECRET: list(
    /\s+/,
    isSecret,
    'whsec_ and the base64 of 24 to 64 bytes, or several of them with spaces between',
  ).describe(
    'Secrets that sign callbacks, each whsec_ and base64. To rotate them, give several, newest first.',
  ),
  ROLLCALL_CALLBACK_ALLOW: list(
    /\s*,\s*/,
    isAllowable,
    'host names, addresses and CIDR ranges with commas between',
  ).describe(
    'Private hosts, addresses and CIDR ranges that callbacks may reach, also without TLS. Search domains are used only for hosts named here.',
  ),
}
