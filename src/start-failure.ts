/** The reason why the process cannot start, in one sentence that says what to do. The command line prints it and exits 1. */
export class StartFailure extends Error {
  override name = 'StartFailure'
}
