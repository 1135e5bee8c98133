/** The things that a bench started. They are ended in reverse order, whatever happens. */
export class Scope {
  readonly #ends = new Set<() => Promise<unknown>>()
  #over: Promise<void> | undefined

  onEnd(end: () => Promise<unknown>): void {
    this.#ends.add(end)
  }

  /** A scope for things that live shorter. It ends with this one at the latest. */
  inner(): Scope {
    const scope = new Scope()
    this.onEnd(() => scope.end())
    return scope
  }

  /** The first of three calls it: the bench when it is over, its deadline, or Ctrl-C. */
  end(): Promise<void> {
    this.#over ??= this.#endAll()
    return this.#over
  }

  async #endAll(): Promise<void> {
    for (const end of [...this.#ends].toReversed()) {
      // If one thing cannot be ended, the rest must be ended all the same.
      await end().catch((error: unknown) => process.stderr.write(`${String(error)}\n`))
    }
  }
}
