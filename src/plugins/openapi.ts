import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import plugin from 'fastify-plugin'
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
} from 'fastify-type-provider-zod'
import type { OpenAPI } from 'openapi-types'
import { correct, type Document } from './openapi/corrections.ts'
import { about } from './openapi/about.ts'
import { withHeaders } from './openapi/headers.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The same document in OpenAPI 3.0.3, for generators that do not read 3.1. */
    swagger30: () => OpenAPI.Document
  }
}

/** The document and the pages around it are not part of the API that they describe. */
const hidden = { schema: { hide: true } }

/** Everything of Swagger UI comes from here; it sets styles on its elements and shows its icons as data URLs. */
const contentSecurityPolicy = {
  'default-src': "'self'",
  'style-src': "'self' 'unsafe-inline'",
  'img-src': "'self' data:",
  'object-src': "'none'",
  'base-uri': "'self'",
  'frame-ancestors': "'none'",
}

/** The document, made from the schemas of the routes, and Swagger UI on it. To be registered before the routes. */
export const openapi = plugin(
  async app => {
    await app.register(swagger, documentIn('3.1.0'))
    await app.register(swagger, { ...documentIn('3.0.3'), decorator: 'swagger30' })
    app.get('/openapi.json', hidden, () => app.swagger())
    app.get('/openapi-3.0.json', hidden, () => app.swagger30())
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: contentSecurityPolicy,
      theme: { title: 'Rollcall' },
      uiConfig: { layout: 'BaseLayout', defaultModelsExpandDepth: 0, displayRequestDuration: true },
    })
  },
  { name: 'openapi' },
)

function documentIn(version: '3.1.0' | '3.0.3'): FastifyDynamicSwaggerOptions {
  const transformObject = createJsonSchemaTransformObject({})
  return {
    openapi: { openapi: version, ...about(version) },
    convertConstToEnum: false,
    transform: withHeaders(createJsonSchemaTransform({})),
    transformObject: made => correct(transformObject(made) as Document),
  }
}
