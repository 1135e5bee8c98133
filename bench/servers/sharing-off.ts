import { register, type ResolveHook } from 'node:module'
import { isMainThread } from 'node:worker_threads'

/**
 * For `node --import`: puts unshared.ts in the place of the service's coalesce.ts. So the same service is compared, and it
 * needs no setting that only a bench would use. Node runs hooks in a thread, which loads this file again.
 */
if (isMainThread) register(import.meta.url)

export const resolve: ResolveHook = async (specifier, context, next) => {
  const found = await next(specifier, context)
  if (!found.url.endsWith('/src/database/coalesce.js')) return found
  return { ...found, url: new URL('unshared.js', import.meta.url).href }
}
