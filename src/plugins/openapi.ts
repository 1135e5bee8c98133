import plugin from 'fastify-plugin'
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'

/** `npm run generate` makes the documents from the schemas of the routes; a test compares the two. */
const documents = new URL('../../openapi/', import.meta.url)

/**
 * Only the files of the package are used, not its routes. Those would open a file for each request, which costs a descriptor
 * until the caller has read it, and would write the document anew.
 */
const swaggerUi = new URL('static/', import.meta.resolve('@fastify/swagger-ui'))

const files: Readonly<Record<string, URL>> = {
  '/openapi.json': new URL('openapi.json', documents),
  '/openapi-3.0.json': new URL('openapi-3.0.json', documents),
  '/docs/json': new URL('openapi.json', documents),
  '/docs/yaml': new URL('openapi.yaml', documents),
  '/docs/': new URL('openapi/page.html', import.meta.url),
  '/docs/static/start.js': new URL('openapi/start.js', import.meta.url),
  '/docs/static/swagger-ui-bundle.js': new URL('swagger-ui-bundle.js', swaggerUi),
  '/docs/static/swagger-ui.css': new URL('swagger-ui.css', swaggerUi),
  '/docs/static/index.css': new URL('index.css', swaggerUi),
  '/docs/static/favicon-32x32.png': new URL('favicon-32x32.png', swaggerUi),
}

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'application/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.png': 'image/png',
  '.yaml': 'application/x-yaml',
}

/** Everything of Swagger UI comes from here; it sets styles on its elements and shows its icons as data URLs. */
const contentSecurityPolicy = [
  "default-src 'self';",
  "style-src 'self' 'unsafe-inline';",
  "img-src 'self' data:;",
  "object-src 'none';",
  "base-uri 'self';",
  "frame-ancestors 'none';",
].join(' ')

/** The committed OpenAPI documents, and Swagger UI on them. Each file is read once, and served from memory. */
export const openapi = plugin(
  async app => {
    const serve = (path: string, type: string, bytes: Buffer) => {
      const policy = { 'content-security-policy': contentSecurityPolicy }
      const headers = { 'content-type': type, ...(path.startsWith('/docs') && policy) }
      app.get(path, (_request, reply) => reply.headers(headers).send(bytes))
    }
    for (const [path, file] of Object.entries(files)) {
      const type = types[extname(file.pathname)] ?? ''
      const bytes = await readFile(file)
      serve(path, type, bytes)
      // Without the slash at the end, relative links of the page need the folder in front.
      if (path === '/docs/')
        serve('/docs', type, Buffer.from(bytes.toString().replaceAll('./', './docs/')))
    }
  },
  { name: 'openapi' },
)
