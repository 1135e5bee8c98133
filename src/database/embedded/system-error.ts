export function isSystemError(error: unknown, ...codes: string[]): error is NodeJS.ErrnoException {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return false
  return codes.length === 0 || codes.includes(String(error.code))
}

/** For `catch`: undefined where there is no such file. */
export function absent(error: unknown): undefined {
  if (!isSystemError(error, 'ENOENT')) throw error
}
