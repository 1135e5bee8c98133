import { readFileSync } from 'node:fs'

/** What package.json says of the service. */
export const { version, description } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as { version: string; description: string }
