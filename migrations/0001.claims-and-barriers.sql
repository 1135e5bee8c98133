-- oldest service: 1

-- Claims and barriers: one row per barrier, one row per batch that somebody asked for.
--
-- The rules that a row can hold by itself are CHECKs; those about what a row may become are triggers whose
-- WHEN decides, so that a lawful write never calls a function. Either way a write that goes round the
-- service is refused, by name.

-- Every moment in a reply is RFC 3339 in UTC with microseconds, whatever TimeZone the session has.
create function rfc3339(moment timestamptz) returns text
language sql stable parallel safe
as $$ select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

create function refuse_write() returns trigger
language plpgsql
as $$
begin
  raise exception using
    errcode = 'check_violation',
    table = tg_table_name,
    constraint = tg_name,
    message = format('The write to %s breaks %s.', tg_table_name, tg_name);
end
$$;

create table barriers (
  namespace text collate "C" not null default '',
  execution_id text collate "C" not null,
  generation integer not null default 1,
  state text not null default 'open',
  reason text,
  total integer not null,
  succeeded integer not null default 0,
  failed integer not null default 0,
  result_bytes bigint not null default 0,
  tolerated_failure_count integer not null default 0,
  max_attempts integer,
  metadata json,
  stuck_after_seconds integer not null default 9000,
  fingerprint text not null,
  enqueue_key text,
  past_keys text[] not null default '{}',
  enqueue_nonce text not null,
  replaced json,
  closing_nonce text,
  callback json,
  callback_events text[] not null default '{}',
  callback_state text not null default 'none',
  callback_id text,
  callback_due_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  last_progress_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  closed_at timestamptz,

  constraint barriers_key primary key (namespace, execution_id),
  constraint barriers_execution_id_is_1_to_255_bytes check (octet_length(execution_id) between 1 and 255),
  constraint barriers_generation_is_positive check (generation >= 1),
  constraint barriers_state_is_known check (state in ('open', 'completed', 'aborted', 'expired')),
  constraint barriers_total_is_in_range check (total between 0 and 10000000),
  constraint barriers_counts_are_not_negative check (succeeded >= 0 and failed >= 0 and result_bytes >= 0),
  constraint barriers_counts_stay_within_total check (succeeded + failed <= total),
  constraint barriers_tolerance_is_not_negative check (tolerated_failure_count >= 0),
  constraint barriers_open_while_a_batch_is_missing check (state <> 'open' or succeeded + failed < total),
  constraint barriers_completed_when_all_are_in check (state <> 'completed' or succeeded + failed = total),
  constraint barriers_failures_are_tolerated check (
    state not in ('open', 'completed') or failed <= tolerated_failure_count
  ),
  constraint barriers_closed_at_tells_closed check ((state = 'open') = (closed_at is null)),
  constraint barriers_closing_nonce_tells_closed check ((state = 'open') = (closing_nonce is null)),
  constraint barriers_reason_of_an_early_end check ((reason is not null) = (state in ('aborted', 'expired'))),
  constraint barriers_callback_events_are_known check (
    callback_events <@ array['completed', 'aborted', 'expired'] and (callback is null) = (callback_events = '{}')
  ),
  constraint barriers_callback_state_is_known check (
    callback_state in ('none', 'due', 'delivering', 'delivered', 'dead')
  ),
  constraint barriers_callback_iff_closed_by_its_event check (
    (callback_state <> 'none') = (state = any (callback_events))
  ),
  constraint barriers_callback_id_iff_callback check ((callback_id is null) = (callback_state = 'none')),
  constraint barriers_past_keys_are_bounded check (cardinality(past_keys) <= 32)
)
-- Room for the counter's next versions beside the old ones, so that an update stays heap-only.
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

comment on table barriers is 'The counter over the batches of one execution; its newest generation only.';
comment on column barriers.generation is 'Which run of this execution id: 1, 2, 3; replace adds one.';
comment on column barriers.result_bytes is 'Running sum of result and error text, which decides whether a callback carries them.';
comment on column barriers.fingerprint is 'SHA-256 of the content of enqueue; equal content is the same barrier.';
comment on column barriers.past_keys is 'Idempotency-Keys of replaced generations, newest first.';
comment on column barriers.enqueue_nonce is 'The enqueue that created this generation; its own repeat is told by it.';
comment on column barriers.replaced is 'What the replace that made this generation ended.';
comment on column barriers.closing_nonce is 'The ask that closed it, for closed_by_this; the callback id is made of it.';
comment on column barriers.callback is 'The producer''s callback, as it was sent.';

-- No index holds a column that a decrement changes, so that counting is heap-only. And only the primary key fits a look-up
-- by key: `namespace || ''` fits the lists alone. A plan made while the table is empty finds every fitting index equally
-- cheap, takes any of them, and is kept when there are a million rows.
create index barriers_newest_first on barriers ((namespace || ''), created_at desc);
create index barriers_newest_first_by_state on barriers ((namespace || ''), state, created_at desc);
create unique index barriers_callback_id on barriers (callback_id) where callback_id is not null;

create trigger barriers_generation_never_falls
before update on barriers for each row
when (new.generation < old.generation)
execute function refuse_write();

create trigger barriers_closed_once_per_generation
before update on barriers for each row
when (
  old.state <> 'open' and new.generation = old.generation
  and (
    new.state, new.reason, new.succeeded, new.failed, new.total, new.closing_nonce, new.callback_id, new.callback::text
  ) is distinct from (
    old.state, old.reason, old.succeeded, old.failed, old.total, old.closing_nonce, old.callback_id, old.callback::text
  )
)
execute function refuse_write();

create trigger barriers_counts_never_fall
before update on barriers for each row
when (
  new.generation = old.generation
  and (new.succeeded < old.succeeded or new.failed < old.failed or new.total <> old.total)
)
execute function refuse_write();

create table batches (
  namespace text collate "C" not null default '',
  execution_id text collate "C" not null,
  generation integer not null,
  batch_index integer not null,
  state text not null,
  attempt integer not null,
  max_attempts integer,
  token text,
  claim_key text,
  owner text,
  lease_seconds integer,
  claimed_at timestamptz,
  lease_expires_at timestamptz,
  last_seen_at timestamptz not null default clock_timestamp(),
  recorded_nonce text,
  recorded_at timestamptz,
  result json,
  error json,
  outcome_bytes integer not null default 0,

  constraint batches_key primary key (namespace, execution_id, generation, batch_index),
  constraint batches_execution_id_is_1_to_255_bytes check (octet_length(execution_id) between 1 and 255),
  constraint batches_index_is_not_negative check (batch_index >= 0),
  constraint batches_generation_is_not_negative check (generation >= 0),
  constraint batches_state_is_known check (state in ('claimed', 'released', 'succeeded', 'failed')),
  constraint batches_attempts_stay_within_max check (attempt between 0 and coalesce(max_attempts, attempt)),
  constraint batches_token_names_its_grant check (
    token is null or starts_with(token, generation || '.' || attempt || '.')
  ),
  constraint batches_granted_with_a_token check (state not in ('claimed', 'released') or token is not null),
  constraint batches_held_only_while_claimed check (
    state = 'claimed' or (claim_key is null and lease_expires_at is null)
  ),
  constraint batches_recorded_once_by_a_nonce check (
    (state in ('succeeded', 'failed')) = (recorded_nonce is not null)
    and (recorded_nonce is null) = (recorded_at is null)
  ),
  constraint batches_outcome_bytes_are_those_stored check (
    outcome_bytes = coalesce(octet_length(result::text), 0) + coalesce(octet_length(error::text), 0)
  ),
  constraint batches_result_only_of_a_success check (result is null or state = 'succeeded'),
  constraint batches_error_only_of_a_failure check (error is null or state = 'failed')
)
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

comment on table batches is 'One member of an execution that was claimed or recorded; no row means unclaimed.';
comment on column batches.generation is '0 for claims made without a barrier.';
comment on column batches.attempt is 'How often the batch was granted; 0 when it was recorded without a claim.';
comment on column batches.token is 'generation.attempt.random of the newest grant; what a worker shows.';
comment on column batches.claim_key is 'The Idempotency-Key of the claim call that holds the batch.';
comment on column batches.owner is 'Who held the newest grant, as the worker named itself.';
comment on column batches.last_seen_at is 'The last sign of life of its worker: grant, heartbeat, release or record.';
comment on column batches.outcome_bytes is 'Length of result or error as text, known without reading them.';
comment on column batches.recorded_nonce is 'The ask that recorded the outcome; its own repeat is told by it.';

create index batches_claimed on batches (namespace, execution_id, generation, claimed_at)
where state = 'claimed';

create trigger batches_recorded_for_good
before update on batches for each row
when (
  old.state in ('succeeded', 'failed')
  and (new.state, new.recorded_nonce, new.result::text, new.error::text)
    is distinct from (old.state, old.recorded_nonce, old.result::text, old.error::text)
)
execute function refuse_write();

create trigger batches_attempts_never_fall
before update on batches for each row
when (new.attempt < old.attempt or (new.attempt = old.attempt and new.token is distinct from old.token))
execute function refuse_write();
