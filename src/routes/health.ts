import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Routes } from './plugin.ts'
import { refusedUnheard, refusedUnready } from './refused.ts'
import { repliedWith } from './reply.ts'

/** No probe may be answered from a cache, and none is refused for what a balancer adds to its URL. */
const headers = { 'Cache-Control': z.literal('no-store') }
const querystring = z.looseObject({})
const config = { isProbe: true }

const livez = {
  summary: 'Is the process alive? Never asks the database',
  operationId: 'isAlive',
  tags: ['health'],
  querystring,
  response: {
    200: repliedWith('It runs.', z.object({ status: z.literal('alive') }), headers),
    ...refusedUnheard,
  },
}

const ready = {
  tags: ['health'],
  querystring,
  response: {
    200: repliedWith('Send requests here.', z.object({ status: z.literal('ready') }), headers),
    ...refusedUnready,
  },
}

export const health: Routes = async app => {
  const readyz = { ...ready, summary: 'Ready to serve?', operationId: 'isReady' }
  const forPeople = { ...ready, summary: 'Ready to serve? For people', operationId: 'isHealthy' }

  app.addHook('onSend', async (_, reply) => void reply.header('cache-control', 'no-store'))
  app.get('/livez', { schema: livez, config }, async () => ({ status: 'alive' }))
  app.get('/readyz', { schema: readyz, config }, () => readyOrRefused(app))
  app.get('/health', { schema: forPeople, config }, () => readyOrRefused(app))
}

async function readyOrRefused(app: FastifyInstance): Promise<{ status: 'ready' }> {
  const refusal = await app.readiness.check()
  if (refusal) throw refusal
  return { status: 'ready' }
}
