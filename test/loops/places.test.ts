import t from 'tap'
import { type Due, Places } from '../../src/loops/delivery/places.ts'

/** A replica's places, by a clock that the test moves. */
function stage(most?: number) {
  let now = 0
  const places = new Places({ clock: () => now, ...(most !== undefined && { most }) })
  const leaves = new Map<string, ReturnType<Places['take']>>()
  return {
    places,
    /** As much as begins of these from now until this much later, look by look. */
    begin: (due: readonly Due[], milliseconds = 0): number => {
      let begun = 0
      for (let left = milliseconds; left >= 0; left -= 200) {
        for (const one of places.choose(due.filter(({ execution_id: id }) => !leaves.has(id)))) {
          leaves.set(one.execution_id, places.take(one, 1_000))
          begun += 1
        }
        now += 200
      }
      return begun
    },
    pass: (milliseconds: number) => void (now += milliseconds),
    end: (due: readonly Due[], ended: { status?: number; milliseconds: number }) => {
      for (const { execution_id: id } of due) {
        leaves.get(id)?.(ended)
        leaves.delete(id)
      }
    },
  }
}

function dueOf(host: string, path: string, nth = 0): Due {
  const execution_id = `${host}/${path}#${nth}`
  return {
    namespace: '',
    execution_id,
    generation: 1,
    host,
    receiver: `${host}/${path}`,
    due_ms: nth,
  }
}

const many = (count: number, of: (nth: number) => Due) =>
  Array.from({ length: count }, (_, n) => of(n))

t.test(
  'a receiver that was silent gets one attempt at a time, and four once it answers',
  async t => {
    const { begin, end } = stage()
    const six = many(6, n => dueOf('a.example', 'hook', n))
    t.equal(begin(six), 4)
    end(six, { milliseconds: 15_000 })
    t.equal(begin(six), 1)
    end(six, { status: 200, milliseconds: 3_000 })
    t.equal(begin(six), 4, 'it is slow, but it answers')
    end(six, { status: 200, milliseconds: 30 })
    t.equal(begin(six), 4)
  },
)

t.test('whatever strangers do, there is room for a receiver that answered last time', async t => {
  const { begin, end } = stage()
  const honest = [dueOf('honest.example', 'hook')]
  t.equal(begin(honest), 1)
  end(honest, { status: 204, milliseconds: 50 })
  const strangers = many(5_000, n => dueOf(`n${n}.example`, 'silent'))
  t.equal(begin(strangers, 10_000), 1_344, 'an eighth is kept from those that nobody knows')
  t.equal(begin(honest), 1)
})

t.test(
  'a process with few descriptors begins no more than it has, and shares them alike',
  async t => {
    const { begin, end } = stage(96)
    const honest = [dueOf('honest.example', 'hook')]
    t.equal(begin(honest), 1)
    end(honest, { status: 204, milliseconds: 50 })
    t.equal(
      begin(
        many(500, n => dueOf(`n${n}.example`, 'silent')),
        10_000,
      ),
      84,
    )
    t.equal(begin(honest), 1)
    t.equal(
      stage(96).begin(
        many(500, n => dueOf('a.example', `${n}`)),
        10_000,
      ),
      70,
    )
    t.equal(stage(96).begin(many(500, n => dueOf(`n${n % 10}.example`, 'hook', n))), 16)
  },
)

t.test('receivers that were silent leave room for those that nobody knows', async t => {
  const { begin, end } = stage()
  const silent = many(3_000, n => dueOf(`n${n}.example`, 'silent'))
  for (let first = 0; first < silent.length; first += 1_000) {
    const part = silent.slice(first, first + 1_000)
    t.equal(begin(part, 10_000), 1_000)
    end(part, { milliseconds: 15_000 })
  }
  t.equal(begin(silent, 10_000), 1_152, 'three quarters')
  t.equal(begin([dueOf('new.example', 'hook')]), 1)
})

t.test('names that resolve to one address share its room', async t => {
  const { places, begin, end } = stage()
  const names = many(3_000, n => dueOf(`n${n}.wild.example`, 'silent'))
  for (const { host } of names) places.resolved(host, '203.0.113.7')
  t.equal(begin(names, 20_000), 1_120)
  t.equal(begin([dueOf('new.example', 'hook')]), 1)
  end(names, { milliseconds: 15_000 })
  t.equal(begin(names), 48, 'and how the address did is told of the names that nobody knows')
})

t.test('addresses of one subscriber are one', async t => {
  const { begin } = stage()
  t.equal(
    begin(
      many(3_000, n => dueOf(`[2001:db8:1:2::${n.toString(16)}]:444`, 'hook')),
      20_000,
    ),
    1_120,
  )
  t.equal(begin([dueOf('[2001:db8:1:3::1]', 'hook')]), 1)
})

t.test(
  'attempts that were begun just now are bounded to a host, to an address and in all',
  async t => {
    const ofHost = stage()
    t.equal(ofHost.begin(many(100, n => dueOf('a.example', `${n}`))), 35)
    const ofAddress = stage()
    t.equal(ofAddress.begin(many(100, n => dueOf(`127.0.0.1:${n}`, 'hook'))), 56)
    const all = stage()
    t.equal(all.begin(many(500, n => dueOf(`n${n}.example`, 'hook'))), 112)
    t.ok(all.places.isPaced)
  },
)

t.test('an address has its turn however many names and paths another has', async t => {
  const { begin, places } = stage()
  const crowd = many(1_000, n => dueOf(`n${n % 10}.example`, `${n}`))
  for (let n = 0; n < 10; n += 1) places.resolved(`n${n}.example`, '203.0.113.7')
  begin(crowd, 1_000)
  const late = { ...dueOf('late.example', 'hook'), due_ms: 1_000_000 }
  t.equal(places.choose([...crowd, late])[0]?.execution_id, late.execution_id)
})
