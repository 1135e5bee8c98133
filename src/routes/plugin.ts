import type {
  FastifyPluginAsync,
  FastifyPluginOptions,
  FastifyTypeProvider,
  RawServerDefault,
} from 'fastify'
import { z } from 'zod'

/**
 * Requests are typed by their zod schemas. Replies are not: the statement builds them, and every reply that a test receives is
 * checked against the document that the same schemas make.
 */
interface Types extends FastifyTypeProvider {
  validator: this['schema'] extends z.ZodType ? z.output<this['schema']> : unknown
  serializer: unknown
}

export type Routes = FastifyPluginAsync<FastifyPluginOptions, RawServerDefault, Types>
