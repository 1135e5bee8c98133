import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import type { Refusal } from '../refusals.ts'
import type { Routes } from './execution.ts'
import { refusedWith } from './problem.ts'

const Ready = z.object({ status: z.literal('ready') })

const ready = {
  tags: ['health'],
  response: { 200: Ready, ...refusedWith() },
}

const livez = {
  schema: {
    summary: 'Is the process alive? Never asks the database',
    operationId: 'isAlive',
    tags: ['health'],
    response: { 200: z.object({ status: z.literal('alive') }) },
  },
}

export const health: Routes = async app => {
  const answer = (refusal: Refusal | undefined, reply: FastifyReply) => {
    reply.header('cache-control', 'no-store')
    if (refusal) throw refusal
    return { status: 'ready' }
  }

  app.get('/livez', livez, async () => ({ status: 'alive' }))

  app.get(
    '/readyz',
    { schema: { ...ready, summary: 'Ready to serve?', operationId: 'isReady' } },
    async (_, reply) => answer(await app.readiness.check(), reply),
  )

  app.get(
    '/health',
    { schema: { ...ready, summary: 'Ready to serve? For people', operationId: 'isHealthy' } },
    async (_, reply) => answer(await app.readiness.check(), reply),
  )
}
