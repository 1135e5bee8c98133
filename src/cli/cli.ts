#!/usr/bin/env node
import { Command } from 'commander'
import { readFile } from 'node:fs/promises'
import { readConfig, settings, shown } from '../config.ts'
import { description, version } from '../package.ts'
import { StartFailure } from '../start-failure.ts'

/** The command line: each command is one call, and loads its modules only when it runs. */
const program = new Command('rollcall')
  .description(description)
  .version(version, '--version')
  .addHelpText('after', () => `\nSettings, all from the environment:\n${settingsTable()}`)

program
  .command('serve')
  .description('serve the API; without DATABASE_URL on a Postgres of its own')
  .action(async () => (await import('./main.ts')).serve(readConfig()))

program
  .command('migrate')
  .description('bring the schema of DATABASE_URL up to date')
  .action(async () => {
    process.exitCode = await (await import('./main.ts')).migrateOnly(readConfig())
  })

program
  .command('openapi')
  .description('print the OpenAPI document')
  .action(async () => {
    process.stdout.write(await readFile(new URL('../../openapi/openapi.json', import.meta.url)))
  })

program
  .command('health')
  .description('ask a running service whether it is ready; for HEALTHCHECK')
  .action(async () => {
    const { HOST, PORT } = readConfig()
    process.exitCode = await (await import('./health.ts')).health(HOST, PORT)
  })

program
  .command('config')
  .description('print the settings in force, secrets hidden')
  .action(() => {
    const inForce = Object.entries(shown(readConfig()))
    process.stdout.write(inForce.map(([name, value]) => `${name}=${String(value)}\n`).join(''))
  })

function settingsTable(): string {
  return settings()
    .map(({ name, fallback, bounds, description: sentence }) => {
      const facts = [fallback && `default ${fallback}`, bounds].filter(Boolean).join(', ')
      return `  ${name.padEnd(36)}${facts && `(${facts}) `}${sentence}`
    })
    .join('\n')
}

try {
  await program.parseAsync()
} catch (error) {
  const known = error instanceof StartFailure
  process.stderr.write(`${known ? error.message : ((error as Error).stack ?? String(error))}\n`)
  process.exit(1)
}
