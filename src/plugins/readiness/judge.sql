-- GET /readyz, GET /health
--
-- Uses the schema as requests do, but on no row: it reads every column, inserts into, updates and deletes from both tables,
-- and calls every function. So a missing object or right fails here with the same error as in a request.
--
-- ->  is_one: whether search_path finds all of Rollcall's tables in one schema; is_filtered: whether row-level security hides
--     rows from this role

with inserted_barriers as (
  insert into barriers (
    namespace, execution_id, generation, state, reason, total, succeeded, failed, result_bytes, tolerated_failure_count,
    max_attempts, metadata, stuck_after_seconds, fingerprint, enqueue_key, past_keys, enqueue_nonce, replaced, closing_nonce,
    callback, callback_events, callback_state, callback_id, callback_due_at, created_at, last_progress_at, expires_at,
    closed_at, callback_queue, callback_host, callback_priority, callback_token, callback_attempt, callback_attempts_before,
    callback_attempts, callback_leased_at, callback_settled_at, callback_message, stuck_check_at, oldest_generation,
    batches_kept
  )
  select
    namespace, execution_id, generation, state, reason, total, succeeded, failed, result_bytes, tolerated_failure_count,
    max_attempts, metadata, stuck_after_seconds, fingerprint, enqueue_key, past_keys, enqueue_nonce, replaced, closing_nonce,
    callback, callback_events, callback_state, callback_id, callback_due_at, created_at, last_progress_at, expires_at,
    closed_at, callback_queue, callback_host, callback_priority, callback_token, callback_attempt, callback_attempts_before,
    callback_attempts, callback_leased_at, callback_settled_at, callback_message, stuck_check_at, oldest_generation,
    batches_kept
  from barriers
  where false
  on conflict (namespace, execution_id) do nothing
),

inserted_batches as (
  insert into batches (
    namespace, execution_id, generation, batch_index, state, attempt, max_attempts, token, claim_key, owner, lease_seconds,
    claimed_at, lease_expires_at, last_seen_at, recorded_nonce, recorded_at, result, error, outcome_bytes
  )
  select
    namespace, execution_id, generation, batch_index, state, attempt, max_attempts, token, claim_key, owner, lease_seconds,
    claimed_at, lease_expires_at, last_seen_at, recorded_nonce, recorded_at, result, error, outcome_bytes
  from batches
  where false
  on conflict (namespace, execution_id, generation, batch_index) do nothing
),

updated_barriers as (update barriers set state = state where false),
updated_batches as (update batches set state = state where false),
deleted_barriers as (delete from barriers where false),
deleted_batches as (delete from batches where false),

called as (
  select
    rfc3339(closed_at), percent_encoded(execution_id), callback_message(barriers, 0, ''), callback_message_bytes(barriers, 0),
    callback_attempts_with(barriers, '{}'), callback_attempts_with_lost(barriers), callback_reply(barriers),
    callback_receiver(callback), callback_lease_is_over(callback_state, callback_due_at, callback_leased_at),
    callback_state_now(callback_state, callback_due_at, callback_leased_at),
    batch_lease_is_over(expires_at, last_progress_at), closing(callback_events, state, closing_nonce),
    judged(total, tolerated_failure_count, succeeded, failed, array[]::integer[], array[]::text[], closing_nonce)
  from barriers
  where false
)

select
  count(distinct relnamespace) = 1 as is_one,
  row_security_active('barriers') or row_security_active('batches') as is_filtered,
  (select count(*) from called) as called
from pg_class
where oid in (to_regclass('rollcall_migrations'), to_regclass('barriers'), to_regclass('batches'))
