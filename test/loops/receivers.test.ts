import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Delivery } from '../../src/loops/delivery/delivery.ts'
import { hostOf } from '../../src/routes/callbacks/host.ts'
import type { Attempt, Message } from '../../src/webhook/post.ts'
import { freshDatabase } from '../fixtures/database.ts'
import { service } from '../fixtures/service.ts'

/** What an honest receiver waits at most, from due to posted, whatever others do. */
const MOST_WAIT_MS = 10_000
const STEP_MS = 200
const HONEST = 'honest'

interface Crowd {
  /** One callback to each, all due before the honest one. */
  urls: string[]
  honest: string
  /** How long a hostile receiver takes, and what it answers then, if anything. */
  hostile?: Attempt
  /** Whether each has been called before, and was silent. */
  isKnown?: true
  priorities?: { hostile: number; honest: number }
}

const thousand = (urlOf: (nth: number) => string) =>
  Array.from({ length: 1_000 }, (_, n) => urlOf(n))
const silent: Attempt = { error: 'timeout', milliseconds: 15_000 }

/** How long the honest one waits by a clock that only the test moves, beside a crowd that is due before it. */
async function waitOf(t: Test, { urls, honest, hostile = silent, ...how }: Crowd): Promise<number> {
  const database = await freshDatabase(t)
  const { app } = await service(t, { database })
  let now = 0
  const posted: number[] = []
  const underWay = new Set<{ ends_ms: number; end: () => void }>()
  const end = (until: number) => {
    for (const one of underWay) if (one.ends_ms <= until && underWay.delete(one)) one.end()
  }
  const sender = {
    post: async ({ url }: Message): Promise<Attempt> => {
      if (url === honest) {
        posted.push(now)
        return { status: 204, milliseconds: 10 }
      }
      const ends_ms = now + hostile.milliseconds
      await new Promise<void>(resolve => underWay.add({ ends_ms, end: resolve }))
      return hostile
    },
    close: async () => end(Number.POSITIVE_INFINITY),
  }
  const delivery = new Delivery(app, { sender, shutdownSeconds: 0, clock: () => now })
  t.teardown(() => delivery.stop())

  const { priorities = { hostile: 5, honest: 5 }, isKnown } = how
  const attempt = {
    attempt: 1,
    outcome: 'failed',
    status: null,
    error: 'timeout',
    milliseconds: 15_000,
  }
  const all = urls.map((url, nth) => ({ id: `hostile-${nth}`, url, priority: priorities.hostile }))
  await database.query(
    `insert into barriers (execution_id, state, total, fingerprint, enqueue_nonce, closing_nonce, closed_at, expires_at,
      callback, callback_host, callback_priority, callback_events, callback_state, callback_id, callback_due_at,
      callback_attempts)
    select id, 'completed', 0, '', '', '', now(), now(), json_build_object('url', url, 'events', '{completed}'::text[]), host,
      priority, '{completed}', 'due', 'cb_' || id, now() - interval '1 minute' + ord * interval '1 millisecond', attempts
    from json_to_recordset($1) as due (id text, url text, host text, priority integer, ord integer, attempts jsonb)`,
    [
      JSON.stringify(
        [...all, { id: HONEST, url: honest, priority: priorities.honest }].map((one, ord) => ({
          ...one,
          ord,
          host: hostOf(one.url),
          attempts: isKnown && one.id !== HONEST ? [attempt] : [],
        })),
      ),
    ],
  )
  while (posted.length === 0 && now <= 60_000) {
    await delivery.leaseOnce()
    await turn()
    now += STEP_MS
    end(now)
  }
  return posted[0] ?? Number.POSITIVE_INFINITY
}

const crowds: Readonly<Record<string, Crowd>> = {
  'a thousand ports of its own address': {
    urls: thousand(n => `http://127.0.0.1:${10_000 + n}/silent`),
    honest: 'http://127.0.0.1:9999/hook',
  },
  'a thousand names': {
    urls: thousand(n => `https://n${n}.wild.example/silent`),
    honest: 'https://honest.example/hook',
  },
  'a thousand addresses': {
    urls: thousand(n => `https://198.51.${n >> 8}.${n & 255}/silent`),
    honest: 'https://honest.example/hook',
  },
  'a thousand paths of its own host': {
    urls: thousand(n => `https://gateway.example/${n}?run=${n}`),
    honest: 'https://gateway.example/hook',
  },
  'a thousand paths of its own host, each with more priority': {
    urls: thousand(n => `https://gateway.example/${n}`),
    honest: 'https://gateway.example/hook',
    priorities: { hostile: 10, honest: 1 },
  },
  'a thousand paths of its own host that are known to be silent': {
    urls: thousand(n => `https://gateway.example/${n}`),
    honest: 'https://gateway.example/hook',
    isKnown: true,
  },
  'a thousand addresses that answer late': {
    urls: thousand(n => `https://198.51.${n >> 8}.${n & 255}/late`),
    honest: 'https://honest.example/hook',
    hostile: { status: 500, milliseconds: 14_000 },
  },
  'a thousand callbacks to another path of its host': {
    urls: thousand(() => 'https://gateway.example/silent'),
    honest: 'https://gateway.example/hook',
  },
}

for (const [crowd, how] of Object.entries(crowds))
  t.test(`a receiver waits ten seconds at most beside ${crowd}`, async t => {
    const wait = await waitOf(t, how)
    t.comment(`${wait} ms`)
    t.ok(wait <= MOST_WAIT_MS, `${wait} ms`)
  })
