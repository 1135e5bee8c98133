const ANYWHERE = new Set(['0.0.0.0', '::'])

/** The URL at which a service with this host and port is reached from its own machine, to click or to paste. */
export function baseUrl(host: string, port: number): string {
  if (ANYWHERE.has(host)) return `http://localhost:${port}`
  return host.includes(':') ? `http://[${host}]:${port}` : `http://${host}:${port}`
}
