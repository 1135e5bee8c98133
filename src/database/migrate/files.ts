import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The numbered files of `migrations/`, from `src/database/migrate` and from `dist/database/migrate` alike. */
const folderOfThisBuild = fileURLToPath(new URL('../../../migrations', import.meta.url))

export interface Migration {
  version: number
  file: string
  text: string
  checksum: string
  /** Once this migration has run, a service has to know the migration of this number to run here. */
  oldestService: number
  /** Its statements, when each has to run outside a transaction; then the whole file may run again. */
  alone?: string[]
}

/** The migrations of a folder, by version. */
export async function readMigrations(folder = folderOfThisBuild): Promise<Migration[]> {
  const files = (await readdir(folder)).filter(file => file.endsWith('.sql')).toSorted()
  return Promise.all(
    files.map(async file => migrationOf(file, await readFile(join(folder, file), 'utf8'))),
  )
}

function migrationOf(file: string, text: string): Migration {
  const version = Number(/^(\d{4})\.[a-z0-9-]+\.sql$/.exec(file)?.[1])
  const oldestService = Number(/^-- oldest service: (\d+)$/m.exec(text)?.[1])
  if (!(version >= 1) || !(oldestService >= 1)) {
    throw new Error(
      `The migration ${file} needs a name like 0001.what-it-does.sql and a line "-- oldest service: 1".`,
    )
  }
  return {
    version,
    file,
    text,
    checksum: createHash('sha256').update(text).digest('hex'),
    oldestService,
    ...(/^-- transaction: none$/m.test(text) && { alone: statementsOf(text) }),
  }
}

/** A file without a transaction holds no functions, so a statement ends where a line ends with a semicolon. */
function statementsOf(text: string): string[] {
  return text
    .replaceAll(/^--.*$/gm, '')
    .split(/;$/m)
    .map(part => part.trim())
    .filter(part => part !== '')
}
