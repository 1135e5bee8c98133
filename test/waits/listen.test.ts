import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { listen } from '../../src/waits/listen.ts'
import { freshDatabase } from '../fixtures/database.ts'
import { until } from '../fixtures/gate.ts'

t.test('a server that hangs as it is listened to is given up, and heard again later', async t => {
  const database = await freshDatabase(t)
  const url = new URL(database.url.replace('@/', '@localhost/'))
  const target = join(url.searchParams.get('host') ?? '', '.s.PGSQL.5432')
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-hang-'))
  const sockets = new Set<Socket>()
  let asked = 0
  const server = createServer(client => {
    const postgres = connect(target)
    for (const socket of [client, postgres]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('end', () => (client.end(), postgres.end()))
    }
    postgres.pipe(client)
    client.on('data', bytes => {
      if (bytes.includes('listen')) asked += 1
      // The first one gets no answer.
      if (asked !== 1 || !bytes.includes('listen')) postgres.write(bytes)
    })
  })
  await new Promise<void>(resolve => server.listen(join(folder, '.s.PGSQL.5432'), resolve))
  const stopped = new AbortController()
  const heard: string[] = []
  const connectionString = database.url.replace(/host=[^&]*/, `host=${encodeURIComponent(folder)}`)
  const listening = listen(
    { connectionString },
    'hints',
    payload => heard.push(payload),
    stopped.signal,
  )
  t.teardown(async () => {
    stopped.abort()
    for (const socket of sockets) socket.destroy()
    await listening
    server.close()
    await rm(folder, { recursive: true })
  })
  await until(async () => {
    await database.query(`select pg_notify('hints', 'hello')`)
    return heard.includes('hello')
  }, 'a hint is heard')
  t.equal(asked, 2)
})
