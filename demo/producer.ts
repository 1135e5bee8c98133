import { fail, liveWithTheDemo, send } from './channel.ts'
import { inBatches, listFiles, TASK_NAME } from './checksum.ts'
import { Rollcall } from './rollcall.ts'

/** The barrier comes first: a worker must never meet a message whose barrier is not there yet. */
async function produce(
  url: string,
  execution_id: string,
  folder: string,
  callback_url: string,
): Promise<void> {
  const batches = inBatches(await listFiles(folder))
  const callback = { url: callback_url, events: ['completed'], task_name: TASK_NAME }
  const content = { total: batches.length, metadata: { folder }, callback }
  const { generation } = await new Rollcall(url).enqueue(execution_id, content)
  await send({ type: 'enqueued', generation, batches: batches.length })

  const published = batches.map((files, batch_index) => {
    const message = { execution_id, generation, batch_index, folder, files }
    return send({ type: 'publish', message })
  })
  await Promise.all(published)
  process.disconnect()
}

const [url = '', execution_id = '', folder = '', callback_url = ''] = process.argv.slice(2)
liveWithTheDemo()
await produce(url, execution_id, folder, callback_url).catch(fail)
