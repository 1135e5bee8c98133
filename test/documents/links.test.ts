import { access } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'
import { document, documentPaths, root } from '../fixtures/documents.ts'

const paths = await documentPaths()
const texts = new Map<string, string>()
for (const path of paths) texts.set(path, await document(path))

t.test('every link between the documents leads to a file, and to a heading of it', async t => {
  let anchors = 0
  for (const [from, path, anchor] of links()) {
    await t.resolves(access(join(root, path)), `${from}: ${path}`)
    if (anchor === undefined) continue
    anchors++
    t.ok(headings(path).includes(anchor), `${from}: ${path}#${anchor}`)
  }
  t.ok(anchors > 10)
})

t.test('the README leads to every page', async t => {
  const ofReadme = links().filter(([from]) => from === 'README.md')
  const linked = new Set(['README.md', ...ofReadme.map(([, path]) => path)])
  for (const path of paths) t.ok(linked.has(path), path)
})

t.test('every file that the documents name is there', async t => {
  for (const [from, text] of texts) {
    const files = text.matchAll(/`((?:src|test|migrations|openapi|docs|demo)\/[\w./-]*)`/g)
    for (const [, path = ''] of files) {
      await t.resolves(access(join(root, path)), `${from}: ${path}`)
    }
  }
})

t.test('every npm command of the documents is a script', async t => {
  const { scripts } = JSON.parse(await document('package.json')) as {
    scripts: Record<string, string>
  }
  for (const [from, text] of texts) {
    for (const [, name = ''] of text.matchAll(/npm (?:run )?(?!ci\b|run\b|pack\b)([\w:]+)/g)) {
      t.type(scripts[name], 'string', `${from}: npm run ${name}`)
    }
  }
})

t.test('the cells of a table are short enough to be read as text', async t => {
  for (const [from, text] of texts) {
    for (const row of prose(text).match(/^\|.*\|$/gm) ?? []) {
      for (const cell of row.split(/(?<!\\)\|/)) {
        t.ok(cell.trim().length <= 100 || /^-+$/.test(cell.trim()), `${from}: ${cell.trim()}`)
      }
    }
  }
})

/** Each link to a document or file of the project: where it is, the path that it leads to, and the heading. */
function links(): [from: string, path: string, anchor: string | undefined][] {
  return [...texts].flatMap(([from, text]) =>
    [...prose(text).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].map(
      ([, path = '', anchor]): [string, string, string | undefined] => [
        from,
        path === '' ? from : normalize(join(dirname(from), path)),
        anchor,
      ],
    ),
  )
}

/** The anchors of a page, as GitHub makes them from its headings. */
function headings(path: string): string[] {
  return [...prose(texts.get(path) ?? '').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}

/** A text without its blocks of code. */
function prose(text: string): string {
  return text.replaceAll(/^```.*?^```$/gms, '')
}
