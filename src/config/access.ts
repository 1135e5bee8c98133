import { z } from 'zod'
import { list } from './values.ts'

/** The names under which callers reach the service. */
export const access = {
  ROLLCALL_PUBLIC_URL: z
    .string()
    .refine(
      url => /^https?:\/\/[^\s?#@/]+(\/[^\s?#]*[^\s?#/])?$/.test(url) && URL.canParse(url),
      'a URL without credentials, without query and without a slash at its end',
    )
    .optional()
    .describe('Beginning of each results_url; without it results_url is a path.'),
  ROLLCALL_HOSTS: list(
    /\s*,\s*/,
    name => /^[\w-]+(\.[\w-]+)*\.?$/.test(name),
    'host names with commas between, without ports',
  ).describe(
    'Names that a request may give as its Host. Addresses, localhost and the name in ROLLCALL_PUBLIC_URL are always allowed; other names get 403. Without this setting every name is allowed, unless HOST is a loopback address.',
  ),
}
