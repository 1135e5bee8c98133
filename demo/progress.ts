import type { WriteStream } from 'node:tty'
import type { Counts } from './tally.ts'

const PLAIN_LINE_MS = 3_000
const WIDEST_BAR = 30
const NARROWEST_BAR = 10

/** The stream to which the demo prints: a terminal or any other. */
export type Output = NodeJS.WritableStream &
  Partial<Pick<WriteStream, 'columns' | 'hasColors' | 'isTTY'>>

/** On a terminal, one line that is drawn over itself; in a pipe, a line every few seconds. */
export class Progress {
  readonly #output: Output
  readonly #startedAt: number
  #plainLineAt: number
  #drawn = 0

  constructor(output: Output, now: number) {
    this.#output = output
    this.#startedAt = now
    this.#plainLineAt = now + PLAIN_LINE_MS
  }

  draw(counts: Counts, now: number): void {
    if (this.#output.isTTY !== true) return this.#say(told(counts), now)
    // hasColors() heeds NO_COLOR and TERM.
    const green: Paint = this.#output.hasColors?.() ? text => `\u001B[32m${text}\u001B[39m` : asIs
    this.#redraw(line(counts, this.#columns), line(counts, this.#columns, green))
  }

  /** Shows the thing that the demo waits for, when the counts do not move any more. */
  wait(words: string, now: number): void {
    if (this.#output.isTTY !== true) return this.#say(words, now)
    const fitting = words.slice(0, this.#columns)
    this.#redraw(fitting, fitting)
  }

  /** An event that stays on the screen, above the line. */
  note(text: string): void {
    this.clear()
    this.#output.write(`${text}\n`)
  }

  /** Uses blanks instead of an escape sequence, because some terminals would print that. */
  clear(): void {
    if (this.#drawn > 0) this.#output.write(`\r${' '.repeat(this.#drawn)}\r`)
    this.#drawn = 0
  }

  get #columns(): number {
    const { columns = 0 } = this.#output
    // A terminal that does not know its size says 0.
    return (columns === 0 ? 80 : columns) - 1
  }

  #say(words: string, now: number): void {
    if (now < this.#plainLineAt) return
    this.#plainLineAt = now + PLAIN_LINE_MS
    this.#output.write(`${Math.round((now - this.#startedAt) / 1_000)} s: ${words}\n`)
  }

  #redraw({ length }: string, painted: string): void {
    const rest = ' '.repeat(Math.max(0, this.#drawn - length))
    this.#output.write(`\r${painted}${rest}`)
    this.#drawn = length
  }
}

type Paint = (text: string) => string

const asIs: Paint = text => text

export function line(counts: Counts, columns: number, paint: Paint = asIs): string {
  const text = ` ${told(counts)}`
  const width = Math.min(WIDEST_BAR, columns - text.length - 2)
  if (width < NARROWEST_BAR) return text.trimStart().slice(0, columns)
  const done = counts.batches === 0 ? 0 : Math.floor((counts.finished / counts.batches) * width)
  return `[${paint('#'.repeat(done))}${'.'.repeat(width - done)}]${text}`
}

function told({ batches, granted, in_progress, finished, taken_over, fenced }: Counts): string {
  const parts = [
    `${finished}/${batches} finished`,
    `${granted} granted`,
    `${in_progress} in progress`,
    `${taken_over} taken over`,
    `${fenced} fenced`,
  ]
  return parts.join(', ')
}
