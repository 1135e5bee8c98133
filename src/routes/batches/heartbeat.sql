-- POST /executions/:execution_id/batches/:batch_index/heartbeat
--
-- Only a call with the current token extends a lease, and only while the barrier is open. A lease that ran out but was not
-- taken over is extended too: the token decides, not the clock.
--
-- $1  [{ namespace, execution_id, batch_index, token, lease_seconds }]
-- ->  outcome: extended | stale_token | stale_generation | barrier_closed | batch_not_found, status, generation, attempt,
--     state, reason, lease_expires_at

with ask as materialized (
  select *
  from rows from (
    json_to_recordset($1) as (
      namespace text, execution_id text, batch_index integer, token text, lease_seconds integer
    )
  ) with ordinality as ask (namespace, execution_id, batch_index, token_shown, lease_asked, ord)
),

-- Looked up once for an execution and not for each ask, as in claim.sql.
barrier as materialized (
  select execution.namespace, execution.execution_id, coalesce(barrier.generation, 0) as generation,
    barrier.state as barrier_state, barrier.reason, barrier.last_progress_at,
    barrier.last_progress_at + make_interval(secs => least(60, barrier.stuck_after_seconds / 8.0)) <= now()
      as progress_is_old
  from (select distinct namespace, execution_id from ask) as execution
  left join lateral (
    select *
    from barriers
    where barriers.namespace = execution.namespace and barriers.execution_id = execution.execution_id
    limit 1
  ) as barrier on true
),

batch_key as materialized (
  select distinct barrier.namespace, barrier.execution_id, barrier.generation, ask.batch_index
  from ask
  left join barrier using (namespace, execution_id)
  order by namespace, execution_id, generation, batch_index
),

-- Rows are locked in key order, here and in every statement, so that runs cannot deadlock. A lock returns the newest version.
locked_batch as materialized (
  select batch.*
  from batch_key
  cross join lateral (
    select *
    from batches
    where batches.namespace = batch_key.namespace
      and batches.execution_id = batch_key.execution_id
      and batches.generation = batch_key.generation
      and batches.batch_index = batch_key.batch_index
    for no key update
  ) as batch
),

seen_ask as materialized (
  select ask.*, barrier.generation, barrier.barrier_state, barrier.reason, locked_batch.state, locked_batch.attempt,
    locked_batch.token, locked_batch.lease_seconds
  from ask
  left join barrier using (namespace, execution_id)
  left join locked_batch using (namespace, execution_id, generation, batch_index)
),

extended_batch as (
  update batches
  set
    lease_expires_at = clock_timestamp() + make_interval(secs => latest.seconds),
    last_seen_at = clock_timestamp()
  from (
    select distinct on (namespace, execution_id, generation, batch_index)
      namespace, execution_id, generation, batch_index, coalesce(lease_asked, lease_seconds) as seconds
    from seen_ask
    where state = 'claimed' and token_shown = token and coalesce(barrier_state, 'open') = 'open'
    order by namespace, execution_id, generation, batch_index, ord desc
  ) as latest
  where batches.namespace = latest.namespace
    and batches.execution_id = latest.execution_id
    and batches.generation = latest.generation
    and batches.batch_index = latest.batch_index
  returning batches.namespace, batches.execution_id, batches.generation, batches.batch_index, batches.lease_expires_at
),

-- An extension is progress of its barrier, and is written as that of a grant: see claim.sql.
idle_barrier as materialized (
  select namespace, execution_id, generation, last_progress_at
  from barrier
  where progress_is_old and (namespace, execution_id) in (select namespace, execution_id from extended_batch)
),

locked_barrier as materialized (
  select barrier.*
  from idle_barrier
  cross join lateral (
    select namespace, execution_id
    from barriers
    where barriers.namespace = idle_barrier.namespace
      and barriers.execution_id = idle_barrier.execution_id
      and barriers.generation = idle_barrier.generation
      and barriers.closed_at is null
      and barriers.last_progress_at = idle_barrier.last_progress_at
    for no key update skip locked
  ) as barrier
),

touched_barrier as (
  update barriers
  set last_progress_at = clock_timestamp()
  from locked_barrier
  where barriers.namespace = locked_barrier.namespace and barriers.execution_id = locked_barrier.execution_id
)

select
  case
    when token_shown ~ '^(0|[1-9][0-9]{0,8})\.' and split_part(token_shown, '.', 1)::integer < generation then 'stale_generation'
    when state is null then 'batch_not_found'
    when state in ('succeeded', 'failed') then 'stale_token'
    when barrier_state <> 'open' then 'barrier_closed'
    when state = 'claimed' and token_shown = token then 'extended'
    else 'stale_token'
  end as outcome,
  case when state in ('succeeded', 'failed') then state end as status,
  generation,
  attempt,
  barrier_state as state,
  reason,
  coalesce(to_json(rfc3339(extended_batch.lease_expires_at)), 'null') as lease_expires_at
from seen_ask
left join extended_batch using (namespace, execution_id, generation, batch_index)
order by ord
