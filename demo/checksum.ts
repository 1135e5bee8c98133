import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** The task that the callback names for its receiver. */
export const TASK_NAME = 'checksums'

const BATCH_FILES = 50
/** The folder of the service's own data, which would change while it is read. */
const LEFT_OUT = '.rollcall'

interface FileSum {
  file: string
  bytes: number
  /** The SHA-256 of the content, or the reason why it could not be read. */
  sum: string
  readable: boolean
}

/** The result of one batch: small, however many bytes were read. */
export interface BatchSum {
  files: number
  unreadable: number
  bytes: number
  sha256: string
}

/**
 * The regular files below a folder, relative to it, with `/`, in order of code units. Symbolic links are not followed,
 * so nothing is listed twice. A folder that may not be listed takes the place of its files, as one unreadable entry.
 */
export async function listFiles(folder: string): Promise<string[]> {
  return (await walk(folder, '')).toSorted()
}

async function walk(folder: string, below: string): Promise<string[]> {
  const entries = await readdir(join(folder, below), { withFileTypes: true }).catch(() => undefined)
  if (entries === undefined) return [below]
  const found = entries.map(async entry => {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    if (entry.isDirectory()) return entry.name === LEFT_OUT ? [] : walk(folder, path)
    return entry.isFile() ? [path] : []
  })
  return (await Promise.all(found)).flat()
}

export function inBatches(files: string[]): string[][] {
  return Array.from({ length: Math.ceil(files.length / BATCH_FILES) }, (_, index) =>
    files.slice(index * BATCH_FILES, (index + 1) * BATCH_FILES),
  )
}

export async function sumFiles(folder: string, files: string[]): Promise<FileSum[]> {
  return Promise.all(files.map(file => sumFile(folder, file)))
}

/** A file that cannot be read is part of the result too, so that every worker reports the same. */
async function sumFile(folder: string, file: string): Promise<FileSum> {
  const hash = createHash('sha256')
  let bytes = 0
  try {
    for await (const chunk of createReadStream(join(folder, file))) {
      hash.update(chunk)
      bytes += chunk.length
    }
    return { file, bytes, sum: hash.digest('hex'), readable: true }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    return { file, bytes: 0, sum: code, readable: false }
  }
}

/** One digest over the lines that `sha256sum` prints for the batch. */
export function combine(sums: FileSum[]): BatchSum {
  const lines = sums.map(({ sum, file }) => `${sum}  ${file}\n`)
  return {
    files: sums.length,
    unreadable: sums.filter(({ readable }) => !readable).length,
    bytes: sums.reduce((total, { bytes }) => total + bytes, 0),
    sha256: createHash('sha256').update(lines.join('')).digest('hex'),
  }
}

/** The expected results of the workers, computed again in this one process, batch by batch. */
export async function* sumDirectly(folder: string): AsyncGenerator<BatchSum> {
  for (const files of inBatches(await listFiles(folder)))
    yield sumFiles(folder, files).then(combine)
}
