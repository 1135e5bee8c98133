import { readFile } from 'node:fs/promises'
import { settings } from '../src/config.ts'
import { limits } from './limits.ts'
import { refusals } from '../src/refusals/table.ts'

/** This runs compiled, in .build/openapi. */
const project = new URL('../../', import.meta.url)
const reference = new URL('docs/reference.md', project)
const openapi = new URL('openapi/openapi.json', project)

interface Document {
  paths: Record<string, Record<string, { summary: string }>>
}

/** docs/reference.md with its tables and lists made anew from the source. */
export async function filledReference(): Promise<string> {
  const document = JSON.parse(await readFile(openapi, 'utf8')) as Document
  const blocks = {
    routes: routesTable(document),
    limits: limitsTable(),
    settings: settingsList(),
    refusals: refusalsTable(),
  }
  return Object.entries(blocks).reduce(fill, await readFile(reference, 'utf8'))
}

function fill(text: string, [name, lines]: [string, string[]]): string {
  const [begin, end] = [`<!-- ${name}: generated -->`, `<!-- ${name}: end -->`]
  const [before, rest] = halves(text, begin)
  const [, after] = halves(rest, end)
  return `${before}${begin}\n\n${lines.join('\n')}\n\n${end}${after}`
}

function halves(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark)
  if (at === -1) throw new Error(`docs/reference.md has lost its mark ${mark}.`)
  return [text.slice(0, at), text.slice(at + mark.length)]
}

function routesTable({ paths }: Document): string[] {
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary }]) => [
      `\`${method.toUpperCase()} ${path}\``,
      summary,
    ]),
  )
  return table(['Route', 'What it does'], routes)
}

function limitsTable(): string[] {
  return table(['What', 'For one', 'For all', 'Beyond it', 'Setting'], limits)
}

/** A list, because a sentence about a setting is too long for the cell of a table. */
function settingsList(): string[] {
  return settings().map(({ name, fallback, bounds, description }) => {
    const range = [fallback && `default \`${fallback}\``, bounds].filter(Boolean).join(', ')
    return `- \`${name}\`${range && ` (${range})`}: ${description}`
  })
}

function refusalsTable(): string[] {
  const rows = Object.entries(refusals).map(([code, { status, sentence }]) => [
    `\`${code}\``,
    String(status),
    sentence,
  ])
  return table(['Code', 'Status', 'Meaning'], rows)
}

function table(head: string[], rows: readonly string[][]): string[] {
  return [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`)
}
