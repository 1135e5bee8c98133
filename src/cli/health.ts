import { get } from 'node:http'
import { baseUrl } from './base-url.ts'
import { StartFailure } from '../start-failure.ts'

const PATIENCE_MS = 5000

/** Prints the answer of `/readyz` and returns 0 when the service is ready, else 1. It loads nothing but node:http: see probe.ts. */
export async function health(host: string, port: number): Promise<number> {
  const url = `${baseUrl(host, port)}/readyz`
  const { status, text } = await ask(url).catch((error: NodeJS.ErrnoException) => {
    // For a name with several addresses Node reports one error for each, and a message of its own that is empty.
    const why = error.name === 'AbortError' ? 'no answer in 5 s' : (error.code ?? error.message)
    throw new StartFailure(`Nothing answers at ${url} (${why}).`)
  })
  process.stdout.write(`${text}\n`)
  return status === 200 ? 0 : 1
}

function ask(url: string): Promise<{ status: number | undefined; text: string }> {
  return new Promise((settle, fail) => {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const request = get(url, { signal, agent: false }, reply => {
      let text = ''
      reply.setEncoding('utf8')
      reply.on('data', (part: string) => (text += part))
      reply.once('error', fail)
      reply.once('end', () => {
        settle({ status: reply.statusCode, text })
      })
    })
    request.once('error', fail)
  })
}
