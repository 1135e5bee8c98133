import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Routes } from './plugin.ts'
import { refusedUnheard, refusedUnready } from './refused.ts'
import { repliedWith } from './reply.ts'

/** No cache may answer a probe. No probe is refused for parameters that a balancer adds to its URL. */
const headers = { 'Cache-Control': z.literal('no-store') }
const querystring = z.looseObject({})
const config = { isProbe: true }

const livez = {
  summary: 'Is the process alive? This never asks the database',
  operationId: 'isAlive',
  tags: ['health'],
  querystring,
  response: {
    200: repliedWith('The process is alive.', z.object({ status: z.literal('alive') }), headers),
    ...refusedUnheard,
  },
}

const ready = {
  tags: ['health'],
  querystring,
  response: {
    200: repliedWith(
      'This replica can serve requests.',
      z.object({ status: z.literal('ready') }),
      headers,
    ),
    ...refusedUnready,
  },
}

export const health: Routes = async app => {
  const readyz = { ...ready, summary: 'Is this replica ready to serve?', operationId: 'isReady' }
  const forPeople = {
    ...ready,
    summary: 'Is this replica ready to serve? The same for people',
    operationId: 'isHealthy',
  }

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
