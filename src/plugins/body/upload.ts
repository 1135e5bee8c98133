import type { IncomingMessage } from 'node:http'
import { notWhole } from '../../json/faults.ts'
import { overloaded, Refusal } from '../../refusals.ts'
import { type ByteBudget, type Holder, LARGE_BYTES, STEP_BYTES } from './byte-budget.ts'

/** The first bytes of a body are not reserved; the number of sockets bounds them. */
export const SMALL_BYTES = 16 * 1024

/** An upload that brings less than this in each of three seconds is given up. */
export const LEAST_BYTES_PER_SECOND = 64 * 1024
export const MOST_SLOW_SECONDS = 3

export interface Terms {
  budget: ByteBudget
  /** Ends the upload at its first byte. */
  refusal: Refusal | null
  /** The announced length, or NaN for a body of unknown length. */
  announcedBytes: number
  mostBytes: number
  waitMs: number
}

type Done = (error: Refusal | null, bytes: Buffer) => void

/** A body above 16 KiB, or of unknown length, on its way in. It reserves bytes as it arrives and holds them until `release`. */
export class Upload implements Holder {
  readonly #source: IncomingMessage
  readonly #terms: Terms
  readonly #done: Done
  #bytes = Buffer.allocUnsafe(SMALL_BYTES)
  #arrived = 0
  /** How many bytes may arrive before it has to reserve again. */
  #allowed = SMALL_BYTES
  #isOver = false
  #arrivedBefore = 0
  #slowSeconds = 0
  readonly #watch: NodeJS.Timeout
  #clock: NodeJS.Timeout | undefined

  constructor(source: IncomingMessage, terms: Terms, done: Done) {
    this.#source = source
    this.#terms = terms
    this.#done = done
    this.#watch = setInterval(() => this.#judgeRate(), 1000)
    source.on('data', this.#onData).once('end', this.#onEnd)
    source.once('error', this.#onError).once('close', this.#onClose)
  }

  isLarge(): boolean {
    const { announcedBytes } = this.#terms
    return (Number.isNaN(announcedBytes) ? this.#arrived : announcedBytes) > LARGE_BYTES
  }

  resume(): void {
    clearTimeout(this.#clock)
    this.#clock = undefined
    this.#allowed += STEP_BYTES
    this.#source.resume()
  }

  release(): void {
    this.#terms.budget.release(this)
  }

  readonly #onData = (chunk: Buffer): void => {
    const { refusal, mostBytes } = this.#terms
    if (refusal) return this.#end(refusal)
    const size = this.#arrived + chunk.length
    if (size > mostBytes) return this.#end(new Refusal('payload_too_large'))
    if (size > this.#bytes.length) this.#grow(size)
    chunk.copy(this.#bytes, this.#arrived)
    this.#arrived = size
    while (this.#arrived > this.#allowed) {
      if (this.#terms.budget.reserve(this)) {
        this.#allowed += STEP_BYTES
        continue
      }
      this.#source.pause()
      this.#clock = setTimeout(() => this.#end(overloaded()), this.#terms.waitMs)
      return
    }
  }

  /** The buffer doubles each time, so that a body is copied once on average and little memory is taken ahead of its bytes. */
  #grow(size: number): void {
    const { announcedBytes, mostBytes } = this.#terms
    const most = Number.isNaN(announcedBytes) ? mostBytes : announcedBytes
    const larger = Buffer.allocUnsafe(Math.max(size, Math.min(2 * this.#bytes.length, most)))
    this.#bytes.copy(larger, 0, 0, this.#arrived)
    this.#bytes = larger
  }

  /** One slow second is no proof: this process or the caller's may have been busy. */
  #judgeRate(): void {
    const isSlow = this.#arrived - this.#arrivedBefore < LEAST_BYTES_PER_SECOND
    this.#arrivedBefore = this.#arrived
    this.#slowSeconds = isSlow && this.#clock === undefined ? this.#slowSeconds + 1 : 0
    if (this.#slowSeconds < MOST_SLOW_SECONDS) return
    const detail = `A body above ${SMALL_BYTES} bytes has to bring ${LEAST_BYTES_PER_SECOND} bytes a second.`
    this.#end(new Refusal('request_timeout', { detail }))
  }

  readonly #onEnd = (): void => {
    const bytes = this.#bytes.subarray(0, this.#arrived)
    this.#terms.budget.settle(this, this.#arrived > SMALL_BYTES ? this.#arrived : 0)
    this.#end(null, bytes)
  }

  readonly #onError = (): void => this.#end(notWhole())
  readonly #onClose = (): void => this.#end(notWhole())

  #end(error: Refusal | null, bytes = EMPTY): void {
    if (this.#isOver) return
    this.#isOver = true
    clearInterval(this.#watch)
    clearTimeout(this.#clock)
    this.#source.off('data', this.#onData).off('end', this.#onEnd)
    if (error) this.release()
    this.#bytes = EMPTY
    this.#done(error, bytes)
  }
}

const EMPTY = Buffer.alloc(0)
