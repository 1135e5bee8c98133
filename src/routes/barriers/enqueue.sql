-- POST /executions/:execution_id/barrier/enqueue
--
-- Creates the barrier of an execution, finds the one that is there, or replaces it by a new generation. An existing barrier
-- that needs no write is answered from the snapshot; otherwise one upsert is judged on the newest version of the row. The
-- nonce marks what this ask created, so that a repeat of the same ask answers as the first time.
--
-- $1  [{ namespace, execution_id, nonce, enqueue_key, conflict_policy, generation, fingerprint, total,
--        tolerated_failure_count, max_attempts, metadata, callback, callback_host, callback_events, expires_in_seconds,
--        stuck_after_seconds }]
-- ->  outcome: created | existing | enqueue_mismatch | barrier_exists | stale_generation | execution_not_found
--       | again, generation, state, callback_id, reply

with ask as materialized (
  select *, generation as generation_asked
  from json_to_recordset($1) as ask (
    namespace text, execution_id text, nonce text, enqueue_key text, conflict_policy text, generation integer,
    fingerprint text, total integer, tolerated_failure_count integer, max_attempts integer, metadata json,
    callback json, callback_host text, callback_events text[], expires_in_seconds integer, stuck_after_seconds integer
  )
),

existing_barrier as materialized (
  select barrier.*
  from ask
  cross join lateral (
    select *
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    limit 1
  ) as barrier
  where ask.conflict_policy <> 'replace'
    or ask.enqueue_key = any (barrier.past_keys || barrier.enqueue_key)
    or ask.generation_asked <> barrier.generation
    or ask.nonce = barrier.enqueue_nonce
),

new_barrier as materialized (
  select
    ask.*,
    case when total = 0 then 'completed' else 'open' end as state,
    case when total = 0 then nonce end as closing_nonce,
    closing.*
  from ask
  cross join lateral closing(callback_events, case when total = 0 then 'completed' else 'open' end, nonce) as closing
  left join lateral (
    select barriers.generation
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    limit 1
  ) as replaceable on true
  where not exists (select from existing_barrier)
    and (ask.generation_asked is null or replaceable.generation is not null)
),

written_barrier as (
  insert into barriers as barrier (
    namespace, execution_id, state, total, tolerated_failure_count, max_attempts, metadata, stuck_after_seconds,
    fingerprint, enqueue_key, enqueue_nonce, closing_nonce, closed_at, expires_at,
    stuck_check_at, callback, callback_queue, callback_host, callback_priority, callback_events, callback_state,
    callback_id, callback_due_at
  )
  select
    namespace, execution_id, state, total, tolerated_failure_count, max_attempts, metadata, stuck_after_seconds,
    fingerprint, enqueue_key, nonce, closing_nonce, closed_at,
    clock_timestamp() + make_interval(secs => expires_in_seconds),
    clock_timestamp() + make_interval(secs => stuck_after_seconds),
    callback, callback ->> 'queue', callback_host, (callback ->> 'priority')::smallint, coalesce(callback_events, '{}'),
    callback_state, callback_id, callback_due_at
  from new_barrier
  on conflict (namespace, execution_id) do update
  set
    generation = barrier.generation + 1,
    state = excluded.state,
    reason = null,
    total = excluded.total,
    succeeded = 0,
    failed = 0,
    result_bytes = 0,
    tolerated_failure_count = excluded.tolerated_failure_count,
    max_attempts = excluded.max_attempts,
    metadata = excluded.metadata,
    stuck_after_seconds = excluded.stuck_after_seconds,
    fingerprint = excluded.fingerprint,
    enqueue_key = excluded.enqueue_key,
    -- The newest 32 keys of replaced generations are remembered.
    past_keys = (array_remove(barrier.enqueue_key || barrier.past_keys, null))[1:32],
    enqueue_nonce = excluded.enqueue_nonce,
    replaced = (
      select to_json(reply)
      from (
        select barrier.generation, barrier.state, barrier.total - barrier.succeeded - barrier.failed as remaining,
          callback_state_now(barrier.callback_state, barrier.callback_due_at, barrier.callback_leased_at) as callback_state
      ) as reply
    ),
    closing_nonce = excluded.closing_nonce,
    callback = excluded.callback,
    callback_queue = excluded.callback_queue,
    callback_host = excluded.callback_host,
    callback_priority = excluded.callback_priority,
    callback_events = excluded.callback_events,
    callback_state = excluded.callback_state,
    callback_id = excluded.callback_id,
    callback_due_at = excluded.callback_due_at,
    -- A callback that is not delivered yet ends with its generation, and so do its leases.
    callback_token = null,
    callback_attempt = 0,
    callback_attempts_before = 0,
    callback_attempts = '[]',
    callback_leased_at = null,
    callback_settled_at = null,
    callback_message = null,
    stuck_check_at = excluded.stuck_check_at,
    batches_kept = true,
    created_at = clock_timestamp(),
    last_progress_at = clock_timestamp(),
    expires_at = excluded.expires_at,
    closed_at = excluded.closed_at
  -- Judged on the newest version of the row. Where it is false another call was faster, and the ask runs again.
  where (
    select
      ask.conflict_policy = 'replace'
        and ask.nonce <> barrier.enqueue_nonce
        and coalesce(ask.generation_asked = barrier.generation, true)
        and not coalesce(ask.enqueue_key = any (barrier.past_keys || barrier.enqueue_key), false)
    from ask
  )
  returning barrier.*
),

barrier_after as (
  select * from existing_barrier
  union all
  select * from written_barrier
),

answer as (
  select
    barrier_after.*,
    case
      when barrier_after.generation is null then
        case when exists (select from new_barrier) then 'again' else 'execution_not_found' end
      when barrier_after.enqueue_nonce = ask.nonce then 'created'
      when ask.enqueue_key = any (barrier_after.past_keys) then 'stale_generation'
      when ask.enqueue_key = barrier_after.enqueue_key or ask.conflict_policy = 'use_existing' then
        case when barrier_after.fingerprint = ask.fingerprint then 'existing' else 'enqueue_mismatch' end
      when ask.conflict_policy = 'fail' then 'barrier_exists'
      else 'stale_generation'
    end as outcome
  from ask
  left join barrier_after using (namespace, execution_id)
)

select
  outcome,
  generation,
  state,
  callback_id,
  (
    select to_json(reply)
    from (
      select outcome, execution_id, generation, state, total, succeeded, failed,
        total - succeeded - failed as remaining, rfc3339(created_at) as created_at,
        rfc3339(expires_at) as expires_at,
        (
          select to_json(reply)
          from (select callback_state_now(callback_state, callback_due_at, callback_leased_at) as state) as reply
        ) as callback,
        case when outcome = 'created' then replaced end as replaced
    ) as reply
  ) as reply
from answer
