import type { Migration } from './files.ts'
import type { Recorded } from './record.ts'

/** Where a schema stands for a build. */
export interface Standing {
  /** The newest migration that has run, and the newest of this build. */
  version: number
  newest: number
  /** Whether a migration of this build has not run. */
  behind: boolean
  /** The newest migration that a service has to know to run here, as the migrations that this build does not know demand. */
  oldestService: number
}

export function standing(recorded: Recorded[], migrations: Migration[]): Standing {
  const ran = new Set(recorded.map(({ version }) => version))
  const newest = migrations.at(-1)?.version ?? 0
  const ahead = recorded.filter(({ version }) => version > newest)
  return {
    version: Math.max(0, ...ran),
    newest,
    behind: migrations.some(({ version }) => !ran.has(version)),
    oldestService: Math.max(0, ...ahead.map(({ oldest_service }) => oldest_service)),
  }
}

/** Why a build may not run on such a schema: in one sentence, or nothing. */
export function wrongWithStanding({ version, newest, behind, oldestService }: Standing) {
  if (behind) return `The schema is at version ${version}, behind ${newest}; run rollcall migrate.`
  if (oldestService > newest)
    return `The schema is at version ${version}, ahead of ${newest}, and needs a service that knows migration ${oldestService}; deploy the newer service.`
  return undefined
}
