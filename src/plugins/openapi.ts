import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyReply } from 'fastify'
import plugin from 'fastify-plugin'
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
} from 'fastify-type-provider-zod'
import type { OpenAPI } from 'openapi-types'
import { stringify } from '../json/raw.ts'
import { Refusal } from '../refusals.ts'
import { correct, type Document } from './openapi/corrections.ts'
import { about } from './openapi/about.ts'
import { type Kept, swaggerUiFiles } from './openapi/files.ts'
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
    const json = keptOnce('application/json; charset=utf-8', () => stringify(app.swagger()))
    const json30 = keptOnce('application/json; charset=utf-8', () => stringify(app.swagger30()))
    const yaml = keptOnce('application/x-yaml', () => app.swagger({ yaml: true }))
    app.get('/openapi.json', hidden, (_request, reply) => send(reply, json()))
    app.get('/openapi-3.0.json', hidden, (_request, reply) => send(reply, json30()))

    app.addHook('onListen', async () => {
      for (const make of [json, json30, yaml]) make()
    })

    const files = await swaggerUiFiles()
    await app.register(async docs => {
      // In place of the handlers of Swagger UI, which open a file or write the document anew for each request.
      docs.addHook('onRequest', (request, reply, next) => {
        const { url } = request.routeOptions
        if (url === '/docs/json') return void send(reply, json())
        if (url === '/docs/yaml') return void send(reply, yaml())
        if (url !== '/docs/static/*') return next()
        const file = files.get((request.params as { '*': string })['*'])
        if (file) return void send(reply, file)
        next(new Refusal('route_not_found', { detail: 'Swagger UI has no such file; see /docs.' }))
      })
      await docs.register(swaggerUi, {
        routePrefix: '/docs',
        staticCSP: contentSecurityPolicy,
        theme: { title: 'Rollcall' },
        uiConfig: {
          layout: 'BaseLayout',
          defaultModelsExpandDepth: 0,
          displayRequestDuration: true,
        },
      })
    })
  },
  { name: 'openapi' },
)

/** Made once, when every route is known: half a second of work, which would hold up all callers. */
function keptOnce(type: string, make: () => string): () => Kept {
  let kept: Kept | undefined
  return () => (kept ??= { type, bytes: Buffer.from(make()) })
}

function send(reply: FastifyReply, { type, bytes }: Kept): FastifyReply {
  return reply.type(type).send(bytes)
}

function documentIn(version: '3.1.0' | '3.0.3'): FastifyDynamicSwaggerOptions {
  const transformObject = createJsonSchemaTransformObject({})
  return {
    openapi: { openapi: version, ...about(version) },
    convertConstToEnum: false,
    transform: withHeaders(createJsonSchemaTransform({})),
    transformObject: made => correct(transformObject(made) as Document),
  }
}
