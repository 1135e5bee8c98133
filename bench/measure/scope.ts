/** What a bench started, ended in reverse order whatever happens. */
export class Scope {
  readonly #ends = new Set<() => Promise<unknown>>()
  #over: Promise<void> | undefined

  onEnd(end: () => Promise<unknown>): void {
    this.#ends.add(end)
  }

  /** For what lives shorter; ended with this one, if it was not before. */
  inner(): Scope {
    const scope = new Scope()
    this.onEnd(() => scope.end())
    return scope
  }

  /** Called by whoever is first: the bench that is over, its deadline, or Ctrl-C. */
  end(): Promise<void> {
    this.#over ??= this.#endAll()
    return this.#over
  }

  async #endAll(): Promise<void> {
    for (const end of [...this.#ends].toReversed()) {
      // What cannot be ended must not keep the rest running.
      await end().catch((error: unknown) => process.stderr.write(`${String(error)}\n`))
    }
  }
}
