import { parseArgs } from 'node:util'
import { builds } from './builds.ts'
import { claims } from './claims.ts'
import { growth } from './growth.ts'
import { isolation } from './isolation.ts'
import { latency } from './latency.ts'
import type { Bench, Size } from './measure/finding.ts'
import { machine } from './measure/machine.ts'
import { keep, type Report, table } from './measure/report.ts'
import { Scope } from './measure/scope.ts'
import { profile } from './profile.ts'
import { receivers } from './receivers.ts'
import { replicas } from './replicas.ts'
import { run } from './run.ts'
import { postgresVersion } from './servers/postgres.ts'
import { start } from './start.ts'

const benches: Record<string, Bench> = {
  claims,
  run,
  growth,
  latency,
  replicas,
  isolation,
  receivers,
  profile,
  builds,
  start,
}
/** These benches compare the working tree with a commit. */
const againstCommit = ['builds', 'start']
/** No published claim needs these benches. */
const onlyByName = new Set(['profile', ...againstCommit])

const USAGE = `npm run bench [-- NAME ... [--full] [--rounds N] [--against COMMIT]]

${Object.entries(benches)
  .map(([name, { claim }]) => `  ${name.padEnd(10)} ${claim}`)
  .join('\n')}

Without a NAME: all but ${[...onlyByName].join(', ')}. --full: the size that the README speaks of; the result is kept in bench/results/, with as many rounds as were wished for.
--against: the commit that ${againstCommit.join(' and ')} compare the working tree with.
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    full: { type: 'boolean' },
    rounds: { type: 'string' },
    against: { type: 'string' },
    help: { type: 'boolean' },
  },
})

const wrong = wrongWith()

if (values.help || wrong !== undefined) {
  process.stderr.write(wrong === undefined ? USAGE : `${wrong}\n${USAGE}`)
  process.exitCode = wrong === undefined ? 0 : 2
} else {
  const names =
    positionals.length > 0
      ? positionals
      : Object.keys(benches).filter(name => !onlyByName.has(name))
  await runAll(names, values.full ? 'full' : 'small')
}

function wrongWith(): string | undefined {
  const unknown = positionals.find(name => !(name in benches))
  if (unknown !== undefined) return `There is no bench ${unknown}.`
  const compares = positionals.some(name => againstCommit.includes(name))
  if (compares !== (values.against !== undefined))
    return `--against COMMIT goes with ${againstCommit.join(' and ')}, and they need it.`
  if (/^[1-9]\d?$/.test(values.rounds ?? '1')) return undefined
  return `--rounds is ${values.rounds}, but the rule is: a number from 1 to 99.`
}

async function runAll(names: readonly string[], size: Size): Promise<void> {
  const reports: Report[] = []
  for (const name of names) {
    try {
      const report = await runOne(name, size)
      reports.push(report)
      if (size === 'full') await keep(report)
    } catch (error) {
      // The other benches still run.
      process.stderr.write(`${name} failed: ${(error as Error).stack ?? String(error)}\n`)
      process.exitCode = 1
    }
  }
  process.stdout.write(
    process.stdout.isTTY ? `\n${table(reports)}` : `${JSON.stringify(reports, null, 2)}\n`,
  )
}

async function runOne(name: string, size: Size): Promise<Report> {
  const { claim, minutes, run: measure } = benches[name] as Bench
  const scope = new Scope()
  const begin = performance.now()
  const tell = (sentence: string) => process.stderr.write(`${name}: ${sentence}\n`)
  const interrupted = () => {
    void scope.end().then(() => process.exit(130))
  }
  process.once('SIGINT', interrupted)
  process.once('SIGTERM', interrupted)
  let deadline: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const sentence = `It was not over after ${minutes[size]} minutes, and was ended.`
    deadline = setTimeout(() => reject(new Error(sentence)), minutes[size] * 60_000)
  })
  try {
    const finding = await Promise.race([
      measure({
        size,
        scope,
        tell,
        ...(values.rounds && { rounds: Number(values.rounds) }),
        ...(values.against && { against: values.against }),
      }),
      late,
    ])
    return {
      bench: name,
      claim,
      size,
      measured_at: new Date().toISOString(),
      seconds: Math.round((performance.now() - begin) / 1000),
      machine: await machine(postgresVersion()),
      ...finding,
    }
  } finally {
    clearTimeout(deadline)
    await scope.end()
    process.off('SIGINT', interrupted)
    process.off('SIGTERM', interrupted)
  }
}
