import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance } from 'fastify'
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
} from 'fastify-type-provider-zod'
import { readConfig } from '../src/config.ts'
import { routes } from '../src/routes/index.ts'
import { body } from '../src/plugins/body.ts'
import { database } from '../src/plugins/database.ts'
import { validation } from '../src/plugins/validation.ts'
import { about } from './about.ts'
import { correct } from './corrections.ts'
import type { Document } from './document.ts'
import { withHeaders } from './headers.ts'
import { override } from './override.ts'

const zodToJsonConfig = { override }

/** The text of each file committed in openapi/, by its name, made from the schemas of the routes. */
export async function documents(): Promise<Record<string, string>> {
  const latest = await describedIn('3.1.0')
  const older = await describedIn('3.0.3')
  const texts = {
    'openapi.json': `${JSON.stringify(latest.swagger(), undefined, 2)}\n`,
    'openapi.yaml': latest.swagger({ yaml: true }),
    'openapi-3.0.json': `${JSON.stringify(older.swagger(), undefined, 2)}\n`,
  }
  await Promise.all([latest.close(), older.close()])
  return texts
}

/** The routes without the service around them. No route is called, so the database need not exist. */
async function describedIn(version: '3.1.0' | '3.0.3'): Promise<FastifyInstance> {
  const transformObject = createJsonSchemaTransformObject({ zodToJsonConfig })
  const config = readConfig({})
  const app = Fastify()
  await app.register(validation)
  await app.register(body, { config })
  await app.register(database, { config, connection: { host: '/nowhere' } })
  await app.register(swagger, {
    openapi: { openapi: version, ...about(version) },
    convertConstToEnum: false,
    transform: withHeaders(createJsonSchemaTransform({ zodToJsonConfig })),
    transformObject: made => correct(transformObject(made) as Document),
  })
  await app.register(routes)
  await app.ready()
  return app
}
