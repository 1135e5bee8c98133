import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { project } from './project.ts'

const folder = join(project, 'bench')

/** The peers' packages are installed when they are first needed; the sentence says why not, or nothing. */
export async function installPeers(tell: (sentence: string) => void): Promise<string | undefined> {
  const isThere = async (name: string) =>
    access(join(folder, 'node_modules', name)).then(
      () => true,
      () => false,
    )
  if ((await isThere('bullmq')) && (await isThere('pg-boss'))) return undefined
  tell('installing BullMQ and pg-boss into bench/node_modules')
  return promisify(execFile)('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder }).then(
    () => undefined,
    () => 'BullMQ and pg-boss are left out: npm ci in bench/ failed; run it by hand to see why.',
  )
}
