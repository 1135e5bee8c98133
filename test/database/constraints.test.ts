import { DatabaseError } from 'pg'
import t from 'tap'
import { freshDatabase } from '../fixtures/database.ts'

const database = await freshDatabase(t)

await database.query(`
  insert into barriers (execution_id, total, fingerprint, enqueue_nonce, expires_at)
  values ('open', 3, 'f', 'n', now())`)
await database.query(`
  insert into barriers (execution_id, total, succeeded, fingerprint, enqueue_nonce, expires_at, generation)
  values ('counted', 3, 1, 'f', 'n', now(), 2)`)
await database.query(`
  insert into barriers (execution_id, total, succeeded, state, closed_at, closing_nonce, fingerprint, enqueue_nonce, expires_at)
  values ('completed', 1, 1, 'completed', now(), 'c', 'f', 'n', now())`)
await database.query(`
  insert into barriers (execution_id, total, state, reason, closed_at, closing_nonce, fingerprint, enqueue_nonce, expires_at)
  values ('aborted', 1, 'aborted', 'enough', now(), 'c', 'f', 'n', now())`)
await database.query(`
  insert into barriers (
    execution_id, total, callback, callback_priority, callback_events, fingerprint, enqueue_nonce, expires_at
  )
  values ('wanted', 1, '{}', 5, '{completed}', 'f', 'n', now())`)
await database.query(`
  insert into barriers (
    execution_id, total, succeeded, state, closed_at, closing_nonce, fingerprint, enqueue_nonce, expires_at,
    callback, callback_priority, callback_events, callback_state, callback_id, callback_due_at
  )
  values ('told', 1, 1, 'completed', now(), 'c', 'f', 'n', now(), '{}', 5, '{completed}', 'due', 'cb_1', now())`)
await database.query(`
  insert into barriers (
    execution_id, total, succeeded, state, closed_at, closing_nonce, fingerprint, enqueue_nonce, expires_at,
    callback, callback_priority, callback_events, callback_state, callback_id, callback_settled_at, callback_token, callback_attempt,
    callback_attempts_before, callback_leased_at, callback_message
  )
  values (
    'delivered', 1, 1, 'completed', now(), 'c', 'f', 'n', now(),
    '{}', 5, '{completed}', 'delivered', 'cb_3', now(), '1.2.x', 2, 1, now(), '{}'
  )`)
await database.query(`
  insert into batches (execution_id, generation, batch_index, state, attempt, token)
  values ('held', 1, 0, 'claimed', 2, '1.2.x')`)
await database.query(`
  insert into batches (execution_id, generation, batch_index, state, attempt, recorded_nonce, recorded_at, result, outcome_bytes)
  values ('done', 1, 0, 'succeeded', 0, 'n', now(), '1', 1)`)

const barrier = (columns: string, values: string) =>
  `insert into barriers (execution_id, total, fingerprint, enqueue_nonce, expires_at${columns && `, ${columns}`})
   values ('new', 3, 'f', 'n', now()${values && `, ${values}`})`
const batch = (values: string, columns = '') =>
  `insert into batches (execution_id, generation, batch_index, state, attempt, token${columns && `, ${columns}`})
   values (${values})`
const change = (execution: string, columns: string) =>
  `update ${['held', 'done'].includes(execution) ? 'batches' : 'barriers'}
   set ${columns} where execution_id = '${execution}'`
const close = `closed_at = now(), closing_nonce = 'c'`
const due = 'callback_due_at = now()'
const leased = (members: Record<string, string>) =>
  Object.entries({
    callback_state: `'delivering'`,
    callback_attempt: '1',
    callback_token: `'1.1.x'`,
    callback_leased_at: 'now()',
    callback_message: `'{}'`,
    ...members,
  })
    .map(([column, value]) => `${column} = ${value}`)
    .join(', ')

/** Writes that go round the service, by the name of the rule that each breaks. */
const wrong: Record<string, string[]> = {
  barriers_key: [barrier('', '').replace(`'new'`, `'open'`)],
  barriers_execution_id_is_1_to_255_bytes: [
    barrier('', '').replace(`'new'`, `''`),
    barrier('', '').replace(`'new'`, `repeat('é', 128)`),
  ],
  barriers_generation_is_positive: [barrier('generation', '0')],
  barriers_state_is_known: [change('open', `state = 'paused', ${close}`)],
  barriers_total_is_in_range: [barrier('', '').replace('3', '10000001')],
  barriers_counts_are_not_negative: [
    barrier('succeeded', '-1'),
    barrier('failed', '-1'),
    change('open', 'result_bytes = -1'),
  ],
  barriers_counts_stay_within_total: [
    change('open', 'succeeded = 4'),
    change('aborted', 'generation = 2, succeeded = 1, failed = 1'),
  ],
  barriers_tolerance_is_not_negative: [change('aborted', 'tolerated_failure_count = -1')],
  barriers_open_while_a_batch_is_missing: [change('open', 'succeeded = 3')],
  barriers_completed_when_all_are_in: [
    change('open', `state = 'completed', ${close}`),
    change('open', `state = 'completed', succeeded = 2, ${close}`),
  ],
  barriers_failures_are_tolerated: [
    change('open', 'failed = 1'),
    change('open', `failed = 3, state = 'completed', ${close}`),
  ],
  barriers_closed_at_tells_closed: [
    change('open', 'closed_at = now()'),
    change('open', `state = 'aborted', reason = 'r', closing_nonce = 'c'`),
  ],
  barriers_closing_nonce_tells_closed: [
    change('open', `closing_nonce = 'c'`),
    change('open', `state = 'aborted', reason = 'r', closed_at = now()`),
  ],
  barriers_reason_of_an_early_end: [
    change('open', `reason = 'r'`),
    change('open', `state = 'aborted', ${close}`),
    change('open', `state = 'expired', ${close}`),
  ],
  barriers_callback_events_are_known: [
    change('open', `callback = '{}'`),
    change('open', `callback_events = '{completed}'`),
    change('open', `callback = '{}', callback_events = '{opened}'`),
    change('wanted', `callback_events = '{}'`),
  ],
  barriers_callback_state_is_known: [
    change('told', `callback_state = 'lost', callback_due_at = null, callback_message = '{}'`),
  ],
  barriers_callback_iff_closed_by_its_event: [
    change('wanted', `callback_state = 'due', callback_id = 'cb_2', callback_due_at = now()`),
    change('wanted', `state = 'completed', succeeded = 1, ${close}`),
    change(
      'wanted',
      `state = 'aborted', reason = 'r', callback_state = 'due', callback_id = 'cb_2', callback_due_at = now(), ${close}`,
    ),
  ],
  barriers_callback_id_iff_callback: [
    change('open', `callback_id = 'cb_2'`),
    change('told', 'callback_id = null'),
  ],
  barriers_callback_due_at_until_it_is_over: [
    change('told', 'callback_due_at = null'),
    change('delivered', 'callback_due_at = now()'),
    change('open', 'callback_due_at = now()'),
  ],
  barriers_callback_settled_at_once_it_is_over: [
    change('told', 'callback_settled_at = now()'),
    change('delivered', 'callback_settled_at = null'),
    change('open', 'callback_settled_at = now()'),
  ],
  barriers_callback_leased_with_a_token: [
    change('told', leased({ callback_token: 'null' })),
    change('told', leased({ callback_leased_at: 'null' })),
  ],
  barriers_callback_token_names_its_lease: [
    change('told', leased({ callback_token: "'1.2.x'" })),
    change('told', leased({ callback_token: "'2.1.x'" })),
    change('told', leased({ callback_token: "'x'" })),
  ],
  barriers_callback_attempts_before_are_among_all: [
    change('told', 'callback_attempts_before = 1'),
    change('told', 'callback_attempts_before = -1'),
  ],
  barriers_callback_message_built_before_it_is_sent: [
    change('told', leased({ callback_message: 'null' })),
    change('delivered', 'callback_message = null'),
  ],
  barriers_callback_message_only_of_a_callback: [
    change('open', `callback_message = '{}'`),
    change('wanted', `callback_message = '{}'`),
  ],
  barriers_callback_host_is_1_to_255_bytes: [
    barrier('callback_host', `repeat('x', 256)`),
    barrier('callback_host', `''`),
  ],
  barriers_callback_queue_is_1_to_255_bytes: [
    barrier('callback_queue', `repeat('x', 256)`),
    barrier('callback_queue', `''`),
  ],
  barriers_oldest_generation_is_not_newer: [
    change('open', 'oldest_generation = 2'),
    change('open', 'oldest_generation = 0'),
  ],
  barriers_batches_kept_while_needed: [
    change('open', 'batches_kept = false'),
    change('told', 'batches_kept = false'),
  ],
  barriers_callback_priority_is_1_to_10: [
    change('wanted', 'callback_priority = 0'),
    change('wanted', 'callback_priority = 11'),
    change('wanted', 'callback_priority = null'),
    change('open', 'callback_priority = 5'),
  ],
  barriers_max_attempts_is_1_to_1000000: [
    change('open', 'max_attempts = 0'),
    change('open', 'max_attempts = 1000001'),
  ],
  barriers_stuck_after_1_to_2592000_seconds: [
    change('open', 'stuck_after_seconds = 0'),
    change('open', 'stuck_after_seconds = -5'),
    change('open', 'stuck_after_seconds = 2592001'),
  ],
  barriers_expires_after_it_was_created: [
    change('open', `expires_at = created_at - interval '1 hour'`),
  ],
  barriers_enqueue_key_is_1_to_255_bytes: [
    change('open', `enqueue_key = ''`),
    change('open', `enqueue_key = repeat('k', 256)`),
  ],
  barriers_reason_is_at_most_4000_bytes: [
    change('aborted', `generation = 2, reason = repeat('r', 4001)`),
  ],
  batches_max_attempts_is_1_to_1000000: [
    change('done', 'max_attempts = 0'),
    change('held', 'max_attempts = 1000001'),
  ],
  batches_lease_is_5_to_86400_seconds: [
    change('held', 'lease_seconds = 4'),
    change('held', 'lease_seconds = 86401'),
  ],
  batches_owner_is_at_most_1020_bytes: [change('held', `owner = repeat('o', 1021)`)],
  batches_claim_key_is_1_to_255_bytes: [
    change('held', `claim_key = ''`),
    change('held', `claim_key = repeat('k', 256)`),
  ],
  batches_token_is_at_most_128_bytes: [
    change('held', `attempt = 3, token = '1.3.' || repeat('x', 125)`),
  ],
  barriers_past_keys_are_bounded: [change('open', `past_keys = array_fill('k'::text, array[33])`)],
  barriers_callback_id: [
    change(
      'wanted',
      `state = 'completed', succeeded = 1, callback_state = 'due', callback_id = 'cb_1', callback_due_at = now(), ${close}`,
    ),
  ],
  barriers_generation_never_falls: [change('counted', 'generation = 1')],
  barriers_closed_once_per_generation: [
    change('completed', `state = 'aborted', reason = 'r'`),
    change('completed', `state = 'open', succeeded = 0, closed_at = null, closing_nonce = null`),
    change('completed', `closing_nonce = 'other'`),
    change('aborted', `state = 'completed', reason = null, succeeded = 1`),
    change('aborted', 'succeeded = 1'),
    change('aborted', `state = 'expired'`),
    change('aborted', `reason = 'another'`),
    change('aborted', 'reason = null'),
    change('completed', `reason = 'r'`),
    change('completed', `callback_state = 'due', callback_id = 'cb_2'`),
    change('told', `callback_id = 'cb_2'`),
    change('told', `callback_state = 'none', callback_id = null`),
    change('told', `callback = '{"queue":"other"}'`),
  ],
  barriers_callback_over_until_redelivered: [
    change('delivered', `callback_state = 'dead'`),
    change('delivered', `callback_state = 'delivering', callback_settled_at = null, ${due}`),
    change('delivered', `callback_state = 'none', callback_settled_at = null`),
  ],
  barriers_callback_message_never_changes: [
    change('delivered', `callback_message = '{ }'`),
    change('delivered', `callback_message = null`),
    change(
      'delivered',
      `callback_state = 'due', callback_settled_at = null, callback_message = null, ${due}`,
    ),
  ],
  barriers_callback_attempts_never_fall: [
    change('delivered', `callback_attempt = 1, callback_token = '1.1.x'`),
  ],
  barriers_counts_never_fall: [
    change('counted', 'succeeded = 0'),
    change('counted', 'total = 4'),
    change('counted', 'total = 2'),
  ],
  batches_key: [batch(`'held', 1, 0, 'claimed', 1, '1.1.y'`)],
  batches_execution_id_is_1_to_255_bytes: [
    batch(`'', 1, 0, 'claimed', 1, '1.1.y'`),
    batch(`repeat('x', 256), 1, 0, 'claimed', 1, '1.1.y'`),
  ],
  batches_index_is_not_negative: [batch(`'new', 1, -1, 'claimed', 1, '1.1.y'`)],
  batches_generation_is_not_negative: [batch(`'new', -1, 0, 'claimed', 1, '-1.1.y'`)],
  batches_state_is_known: [batch(`'new', 1, 0, 'unclaimed', 0, null`)],
  batches_attempts_stay_within_max: [
    change('held', `max_attempts = 2, attempt = 3, token = '1.3.x'`),
    batch(`'new', 1, 0, 'claimed', -1, '1.-1.y'`),
  ],
  batches_token_names_its_grant: [
    change('held', `attempt = 3, token = '1.2.x'`),
    batch(`'new', 1, 0, 'claimed', 1, '2.1.y'`),
    batch(`'new', 1, 0, 'claimed', 1, '1.10.y'`),
    batch(`'new', 1, 0, 'claimed', 1, 'y'`),
  ],
  batches_granted_with_a_token: [
    batch(`'new', 1, 0, 'claimed', 1, null`),
    batch(`'new', 1, 0, 'released', 1, null`),
  ],
  batches_held_only_while_claimed: [
    change('held', `state = 'released', lease_expires_at = now()`),
    change('held', `state = 'released', claim_key = 'k'`),
    change('done', 'lease_expires_at = now()'),
  ],
  batches_recorded_once_by_a_nonce: [
    change('held', `state = 'succeeded'`),
    change('held', `recorded_nonce = 'n', recorded_at = now()`),
    change('held', 'recorded_at = now()'),
    change('held', `state = 'succeeded', recorded_nonce = 'n'`),
  ],
  batches_outcome_bytes_are_those_stored: [
    change('held', 'outcome_bytes = 1'),
    change('done', 'outcome_bytes = 0'),
  ],
  batches_result_only_of_a_success: [
    change('held', `result = '1', outcome_bytes = 1`),
    change(
      'held',
      `state = 'failed', recorded_nonce = 'n', recorded_at = now(), result = '1', outcome_bytes = 1`,
    ),
  ],
  batches_error_only_of_a_failure: [
    change('held', `error = '1', outcome_bytes = 1`),
    change(
      'held',
      `state = 'succeeded', recorded_nonce = 'n', recorded_at = now(), error = '1', outcome_bytes = 1`,
    ),
  ],
  batches_recorded_for_good: [
    change('done', `state = 'failed', result = null, outcome_bytes = 0`),
    change(
      'done',
      `state = 'claimed', recorded_nonce = null, recorded_at = null, result = null, outcome_bytes = 0, token = '1.1.x', attempt = 1`,
    ),
    change('done', `result = '2'`),
    change('done', `result = '1.0', outcome_bytes = 3`),
    change('done', `recorded_nonce = 'other'`),
  ],
  batches_attempts_never_fall: [
    change('held', `attempt = 1, token = '1.1.x'`),
    change('held', `token = '1.2.y'`),
  ],
}

for (const [name, writes] of Object.entries(wrong)) {
  t.test(`a write that goes round the service is refused by ${name}`, async t => {
    const [table] = name.split('_')
    const before = await database.query(`select * from ${table ?? ''} order by execution_id`)
    // Triggers come first, and would hide that the CHECK refuses too.
    const [trigger] = await database.query('select from pg_trigger where tgname = $1', [name])
    if (!trigger) {
      await database.query(`alter table ${table ?? ''} disable trigger user`)
      t.teardown(() => database.query(`alter table ${table ?? ''} enable trigger user`))
    }
    for (const sql of writes) {
      const error: unknown = await database.pool.query(sql).catch((caught: unknown) => caught)
      t.ok(error instanceof DatabaseError, sql)
      const { constraint, message } = error as DatabaseError
      t.equal(constraint, name, `${sql}\n${message}`)
    }
    t.strictSame(await database.query(`select * from ${table ?? ''} order by execution_id`), before)
  })
}

t.test('every CHECK, key and trigger has a write that it refuses here', async t => {
  const rules = await database.query<{ name: string }>(`
    select conname as name from pg_constraint
    where conrelid in ('barriers'::regclass, 'batches'::regclass) and contype <> 'n'
    union
    select indexrelid::regclass::text from pg_index
    where indrelid in ('barriers'::regclass, 'batches'::regclass) and indisunique
    union
    select tgname from pg_trigger
    where tgrelid in ('barriers'::regclass, 'batches'::regclass) and not tgisinternal`)
  t.strictSame(rules.map(({ name }) => name).toSorted(), Object.keys(wrong).toSorted())
})
