import { execFile } from 'node:child_process'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Scope } from '../measure/scope.ts'
import { type Build, buildOf, project } from '../project.ts'

const run = promisify(execFile)

export interface Checkout extends Build {
  /** The commit, in short. */
  commit: string
}

/**
 * A commit of this repository, compiled in a folder of its own. It is unpacked from an archive, because a work tree would stay
 * registered after a kill. It uses the packages installed here, so only the sources differ and nothing is fetched.
 */
export async function checkOut(scope: Scope, wanted: string): Promise<Checkout> {
  const named = `${wanted}^{commit}`
  const commit = await git('rev-parse', '--short', '--verify', '--end-of-options', named).catch(
    () => {
      throw new Error(`--against is ${wanted}, but the rule is: a commit of this repository.`)
    },
  )
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-bench-build-'))
  scope.onEnd(() => rm(folder, { recursive: true, force: true }))
  const archive = join(folder, 'commit.tar')
  await git('archive', '--output', archive, commit)
  await run('tar', ['-xf', archive, '-C', folder])
  await symlink(join(project, 'node_modules'), join(folder, 'node_modules'))
  await run('npm', ['run', '--silent', 'build'], { cwd: folder }).catch((error: unknown) => {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(
      `Commit ${commit} does not compile with the packages that are installed here: ${stdout}${stderr}`,
    )
  })
  return { commit, ...buildOf(folder) }
}

async function git(...args: string[]): Promise<string> {
  const { stdout } = await run('git', ['-C', project, ...args])
  return stdout.trim()
}
