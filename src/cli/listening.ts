import type { FastifyInstance } from 'fastify'
import type { AddressInfo } from 'node:net'
import type { Config } from '../config.ts'
import type { OpenPostgres } from '../database/open.ts'
import { StartFailure } from '../start-failure.ts'
import { baseUrl } from './base-url.ts'

/** Opens the port. If that fails, the error says what to do. */
export async function listen(
  app: FastifyInstance,
  { HOST: host, PORT: port }: Config,
): Promise<void> {
  try {
    await app.listen({
      host,
      port,
      // Fastify would log each address; the banner shows one.
      listenTextResolver: () => '',
    })
  } catch (error) {
    await app.close()
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EADDRINUSE') {
      throw new StartFailure(
        `PORT ${port} is taken on ${host}. Stop what listens there, or set PORT to another one.`,
      )
    }
    if (code === 'EACCES') {
      throw new StartFailure(
        `PORT ${port} may not be opened by this user. Set PORT to one above 1023.`,
      )
    }
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
      throw new StartFailure(
        `HOST ${host} is no address of this machine. Set HOST to one that is, or to 0.0.0.0 for all.`,
      )
    }
    throw error
  }
}

/** Prints a banner for people. It goes to stderr, so that a pipe gets JSON lines only. */
export function announceOn(app: FastifyInstance, { words }: OpenPostgres): void {
  const { address, port } = app.server.address() as AddressInfo
  const url = baseUrl(address, port)
  process.stderr.write(
    [
      '',
      `Rollcall serves on ${words}.`,
      `  API     ${url}/executions`,
      `  Docs    ${url}/docs`,
      `  Health  ${url}/health`,
      '  Stop    Ctrl-C; what was acknowledged stays.',
      'Claim a batch, and once more to see what a redelivery gets:',
      `  curl -X POST ${url}/executions/hello/batches/0/claim`,
      '',
      '',
    ].join('\n'),
  )
}
