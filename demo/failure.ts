/** The reason why the demo cannot go on, in one sentence. The demo prints it and exits with the code. */
export class DemoFailure extends Error {
  override name = 'DemoFailure'
  readonly exitCode: number

  constructor(sentence: string, exitCode = 1) {
    super(sentence)
    this.exitCode = exitCode
  }
}
