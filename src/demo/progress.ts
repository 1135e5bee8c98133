import type { WriteStream } from 'node:tty'
import type { Counts } from './tally.ts'

const PLAIN_LINE_MS = 3_000
const WIDEST_BAR = 30
const NARROWEST_BAR = 10

/** Where the demo prints: a terminal, or anything else that is written to. */
export type Output = NodeJS.WritableStream &
  Partial<Pick<WriteStream, 'columns' | 'hasColors' | 'isTTY'>>

/** One line that is drawn over itself on a terminal; in a pipe, a line every few seconds. */
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
    if (this.#output.isTTY === true) return this.#redraw(counts)
    if (now < this.#plainLineAt) return
    this.#plainLineAt = now + PLAIN_LINE_MS
    this.#output.write(`${Math.round((now - this.#startedAt) / 1_000)} s: ${told(counts)}\n`)
  }

  /** An event that stays on the screen, above the line. */
  note(text: string): void {
    this.clear()
    this.#output.write(`${text}\n`)
  }

  /** Blanks instead of an escape sequence, which some terminals would print. */
  clear(): void {
    if (this.#drawn > 0) this.#output.write(`\r${' '.repeat(this.#drawn)}\r`)
    this.#drawn = 0
  }

  #redraw(counts: Counts): void {
    // NO_COLOR and TERM are heeded by hasColors().
    const green: Paint = this.#output.hasColors?.() ? text => `\u001B[32m${text}\u001B[39m` : asIs
    const columns = (this.#output.columns ?? 80) - 1
    const { length } = line(counts, columns)
    const rest = ' '.repeat(Math.max(0, this.#drawn - length))
    this.#output.write(`\r${line(counts, columns, green)}${rest}`)
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
