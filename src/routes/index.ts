import { abort } from './barriers/abort.ts'
import { decrement } from './barriers/decrement.ts'
import { decrementMany } from './barriers/decrement-many.ts'
import { enqueue } from './barriers/enqueue.ts'
import { getBarrier } from './barriers/get.ts'
import { listExecutions } from './barriers/list.ts'
import { claim } from './batches/claim.ts'
import { claimMany } from './batches/claim-many.ts'
import { clear } from './batches/clear.ts'
import { finish } from './batches/finish.ts'
import { getBatch } from './batches/get.ts'
import { heartbeat } from './batches/heartbeat.ts'
import { listBatches } from './batches/list.ts'
import { release } from './batches/release.ts'
import { ackCallback } from './callbacks/ack.ts'
import { claimCallbacks } from './callbacks/claim.ts'
import { getCallback } from './callbacks/get.ts'
import { redeliverCallback } from './callbacks/redeliver.ts'
import { retryCallback } from './callbacks/retry.ts'
import type { Routes } from './plugin.ts'
import { health } from './health.ts'

/** Every route, one line each, grouped by the right that a caller will need for it. */
export const routes: Routes = async app => {
  // public
  await app.register(health)

  await app.register(async api => {
    api.addHook('onRequest', (_request, _reply, next) => api.drain.admit(next))
    api.addHook('onRequest', (_request, _reply, next) => api.readiness.admit(next))

    // work
    await api.register(claim)
    await api.register(claimMany)
    await api.register(heartbeat)
    await api.register(release)
    await api.register(finish)
    await api.register(decrement)
    await api.register(decrementMany)

    // produce
    await api.register(enqueue)
    await api.register(abort)
    await api.register(clear)
    await api.register(redeliverCallback)

    // receive
    await api.register(claimCallbacks)
    await api.register(ackCallback)
    await api.register(retryCallback)

    // read
    await api.register(getBarrier)
    await api.register(listExecutions)
    await api.register(getBatch)
    await api.register(listBatches)
    await api.register(getCallback)
  })
}
