import { closeSync, openSync, readSync } from 'node:fs'

/** The variable with the path of a file that holds the value of a secret setting. */
export const fileVariable = (name: string) => `${name}_FILE`

/** This is far more than any secret has, and it ends the reading of a path such as /dev/zero. */
const MOST_BYTES = 64 * 1024

/** The value of a secret, from its own variable or from its file; or the sentence that refuses what is given. */
export function secretOf(
  name: string,
  environment: NodeJS.ProcessEnv,
): { value?: string | undefined; refusal?: string } {
  const variable = fileVariable(name)
  const path = environment[variable]
  if (!path) return { value: environment[name] }
  const refusal = (rule: string) => ({
    refusal: `${variable} is ${JSON.stringify(path)}, but the rule is: ${rule}.`,
  })
  if (environment[name]) return refusal(`not together with ${name}`)
  try {
    const text = contentOf(path)
    if (Buffer.byteLength(text) > MOST_BYTES)
      return refusal(`a file of at most ${MOST_BYTES} bytes`)
    // Editors and `echo` end a file with a line break that is not part of the secret.
    const value = text.replace(/\r?\n$/, '')
    return value.trim() === '' ? refusal('a file that is not empty') : { value }
  } catch (error) {
    return refusal(`a file that this user can read (${(error as NodeJS.ErrnoException).code})`)
  }
}

function contentOf(path: string): string {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(MOST_BYTES + 1)
    let length = 0
    for (let read = 1; read > 0 && length < buffer.length; length += read) {
      read = readSync(file, buffer, length, buffer.length - length, null)
    }
    return buffer.toString('utf8', 0, length)
  } finally {
    closeSync(file)
  }
}
