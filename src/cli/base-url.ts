const ANYWHERE = new Set(['0.0.0.0', '::'])

/** Where a service that listens so is reached from its own machine, in a form to click or to paste. */
export function baseUrl(host: string, port: number): string {
  if (ANYWHERE.has(host)) return `http://localhost:${port}`
  return host.includes(':') ? `http://[${host}]:${port}` : `http://${host}:${port}`
}
