/** Why the demo cannot go on, as one sentence; the demo prints it and exits with the code. */
export class DemoFailure extends Error {
  override name = 'DemoFailure'
  readonly exitCode: number

  constructor(sentence: string, exitCode = 1) {
    super(sentence)
    this.exitCode = exitCode
  }
}
