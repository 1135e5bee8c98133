import swagger from '@fastify/swagger'
import plugin from 'fastify-plugin'

export const openapi = plugin(async app => void (await app.register(swagger, { openapi: {} })), {
  name: 'openapi',
})
