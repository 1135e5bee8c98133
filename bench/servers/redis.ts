import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Scope } from '../measure/scope.ts'
import { start } from './child.ts'
import { freePort } from './free-port.ts'

/** `always`: an acknowledged write is on disk, as with Postgres. `everysec`: a crash may lose the last second. */
export type Fsync = 'always' | 'everysec'

export async function isRedisThere(): Promise<boolean> {
  return promisify(execFile)('redis-server', ['--version']).then(
    () => true,
    () => false,
  )
}

/** A Redis of the bench's own; returns its port. */
export async function startRedis(scope: Scope, fsync: Fsync): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-bench-redis-'))
  scope.onEnd(() => rm(folder, { recursive: true, force: true }))
  const port = await freePort()
  const settings = {
    bind: '127.0.0.1',
    port: String(port),
    dir: folder,
    save: '',
    appendonly: 'yes',
    appendfsync: fsync,
    // BullMQ needs this, because an evicted job is lost.
    'maxmemory-policy': 'noeviction',
  }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  await start(scope, ['redis-server', ...args], { ready: /Ready to accept connections/ })
  return port
}
