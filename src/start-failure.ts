/** Why the process cannot start, as one sentence that says what to do; the command line prints it and exits 1. */
export class StartFailure extends Error {
  override name = 'StartFailure'
}
