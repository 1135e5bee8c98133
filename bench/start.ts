import type { Bench } from './measure/finding.ts'
import { alternating, ratioOf, Rounds, type Sample } from './measure/rounds.ts'
import type { Scope } from './measure/scope.ts'
import { type Build, ownBuild } from './project.ts'
import { checkOut } from './servers/checkout.ts'
import { Postgres } from './servers/postgres.ts'
import { startService } from './servers/service.ts'

const CPU = 'CPU s until ready'
const TIME = 's until ready'

const sizes = { small: 2, full: 7 }

/** Measures the cost of a start, to judge a change. No published claim needs it, and it is run only by its name. */
export const start: Bench = {
  claim:
    'The working tree beside the commit of --against: a start on a migrated database, in turns.',
  minutes: { small: 5, full: 10 },
  run: async setup => {
    const { size, scope, tell, against = 'HEAD' } = setup
    tell(`compiling ${against}`)
    const old = await checkOut(scope, against)
    const postgres = await Postgres.start(scope)
    // Round 0, which is not kept, migrates them.
    const databases = { old: await postgres.database(), new: await postgres.database() }
    const measured = await Rounds.of(
      {
        old: () => sampleOf(scope, databases.old, old),
        new: () => sampleOf(scope, databases.new, ownBuild),
      },
      sizes[size],
      setup,
      alternating,
    )
    return {
      series: measured.series(),
      ratios: [CPU, TIME].map(measure =>
        ratioOf(
          `new / old: ${measure}`,
          measured.values('new', measure),
          measured.values('old', measure),
        ),
      ),
      notes: [
        `Old is ${old.commit}, new is the working tree. From the start of the process until /readyz answers 200; each has a database of its own on one Postgres that runs.`,
      ],
    }
  },
}

async function sampleOf(scope: Scope, database: string, build: Build): Promise<Sample> {
  const begin = performance.now()
  const service = await startService(scope, database, { build })
  const { status } = await fetch(`${service.origin}/readyz`)
  const seconds = (performance.now() - begin) / 1000
  const cpuSeconds = await service.cpuSeconds()
  const { nowMiB } = await service.memory()
  await service.stop()
  if (status !== 200) throw new Error(`/readyz answered ${status}.`)
  return { [CPU]: cpuSeconds, [TIME]: seconds, 'memory MiB': nowMiB }
}
