import { Command } from 'commander'
import { fileURLToPath } from 'node:url'
import { baseUrl } from '../src/cli/base-url.ts'
import { readConfig } from '../src/config.ts'
import { StartFailure } from '../src/start-failure.ts'
import { demo } from './demo.ts'

/** The command line of the demo. It finds the service by the same settings that the service reads. */
const program = new Command('demo')
  .description('checksum a folder with four workers; one of them is killed, one is paused')
  .argument('[folder]', 'the folder to checksum', 'node_modules')
  .action(async (folder: string) => {
    const { HOST, PORT, ROLLCALL_DATA_DIR, ROLLCALL_WEBHOOK_SECRET } = readConfig()
    process.exitCode = await demo(folder, {
      url: baseUrl(HOST, PORT),
      // The demo runs compiled, beside the compiled service.
      cli: fileURLToPath(new URL('../src/cli/cli.js', import.meta.url)),
      dataDir: ROLLCALL_DATA_DIR,
      secrets: ROLLCALL_WEBHOOK_SECRET,
    })
  })

await program.parseAsync().catch((error: unknown) => {
  if (!(error instanceof StartFailure)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
})
