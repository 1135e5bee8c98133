import { readFile } from 'node:fs/promises'
import { settings } from '../src/config.ts'
import { limits } from '../src/limits.ts'
import { refusals } from '../src/refusals.ts'

/** This runs compiled, in .build/openapi. */
const project = new URL('../../', import.meta.url)
const readme = new URL('README.md', project)
const openapi = new URL('openapi/openapi.json', project)

interface Document {
  paths: Record<string, Record<string, { summary: string }>>
}

/** README.md with its tables as the source has them. */
export async function filledReadme(): Promise<string> {
  const document = JSON.parse(await readFile(openapi, 'utf8')) as Document
  const tables = {
    routes: routesTable(document),
    limits: limitsTable(),
    settings: settingsTable(),
    refusals: refusalsTable(),
  }
  return Object.entries(tables).reduce(fill, await readFile(readme, 'utf8'))
}

function fill(text: string, [name, rows]: [string, string[][]]): string {
  const [begin, end] = [`<!-- ${name}: generated -->`, `<!-- ${name}: end -->`]
  const [before, rest] = halves(text, begin)
  const [, after] = halves(rest, end)
  const lines = rows.map(cells => `| ${cells.join(' | ')} |`)
  return `${before}${begin}\n\n${lines.join('\n')}\n\n${end}${after}`
}

function halves(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark)
  if (at === -1) throw new Error(`README.md has lost its mark ${mark}.`)
  return [text.slice(0, at), text.slice(at + mark.length)]
}

function routesTable({ paths }: Document): string[][] {
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary }]) => [
      `\`${method.toUpperCase()} ${path}\``,
      summary,
    ]),
  )
  return [...head('Route', 'What it does'), ...routes]
}

function limitsTable(): string[][] {
  return [...head('What', 'For one', 'For all', 'Beyond it', 'Setting'), ...limits]
}

function settingsTable(): string[][] {
  const rows = settings().map(({ name, fallback, bounds, description }) => [
    `\`${name}\``,
    fallback && `\`${fallback}\``,
    bounds,
    description,
  ])
  return [...head('Variable', 'Default', 'Bounds', 'Meaning'), ...rows]
}

function refusalsTable(): string[][] {
  const rows = Object.entries(refusals).map(([code, [status, sentence]]) => [
    `\`${code}\``,
    String(status),
    sentence,
  ])
  return [...head('Code', 'Status', 'Meaning'), ...rows]
}

function head(...names: string[]): string[][] {
  return [names, names.map(() => '---')]
}
