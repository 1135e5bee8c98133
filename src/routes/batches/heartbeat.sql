-- POST /executions/:execution_id/batches/:batch_index/heartbeat
--
-- Only the worker that shows the current token extends a lease, and only while the barrier is open. A lease that ran out but
-- was not taken over is extended too: the token decides, not the clock.
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

subject as materialized (
  select distinct ask.namespace, ask.execution_id, coalesce(barrier.generation, 0) as generation, ask.batch_index,
    barrier.state as barrier_state, barrier.reason, barrier.last_progress_at,
    barrier.last_progress_at + make_interval(secs => least(60, barrier.stuck_after_seconds / 8.0)) <= now()
      as progress_is_old
  from ask
  left join lateral (
    select *
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    limit 1
  ) as barrier on true
  order by 1, 2, 3, 4
),

-- Rows are locked in key order, here and in every statement, so that runs cannot deadlock. A lock returns the newest version.
held as materialized (
  select batch.*
  from subject
  cross join lateral (
    select *
    from batches
    where batches.namespace = subject.namespace
      and batches.execution_id = subject.execution_id
      and batches.generation = subject.generation
      and batches.batch_index = subject.batch_index
    for no key update
  ) as batch
),

seen as materialized (
  select ask.*, subject.generation, subject.barrier_state, subject.reason, held.state, held.attempt, held.token,
    held.lease_seconds, held.lease_expires_at
  from ask
  join subject using (namespace, execution_id, batch_index)
  left join held using (namespace, execution_id, generation, batch_index)
),

extended as (
  update batches
  set
    lease_expires_at = clock_timestamp() + make_interval(secs => latest.seconds),
    last_seen_at = clock_timestamp()
  from (
    select distinct on (namespace, execution_id, generation, batch_index)
      namespace, execution_id, generation, batch_index, coalesce(lease_asked, lease_seconds) as seconds
    from seen
    where state = 'claimed' and token_shown = token and coalesce(barrier_state, 'open') = 'open'
    order by namespace, execution_id, generation, batch_index, ord desc
  ) as latest
  where batches.namespace = latest.namespace
    and batches.execution_id = latest.execution_id
    and batches.generation = latest.generation
    and batches.batch_index = latest.batch_index
  returning batches.namespace, batches.execution_id, batches.generation, batches.batch_index, batches.lease_expires_at
),

-- An extension is progress of its barrier, moved as a grant moves it: see claim.sql.
progressed as materialized (
  select distinct subject.namespace, subject.execution_id, subject.generation, subject.last_progress_at
  from subject
  join extended using (namespace, execution_id, generation, batch_index)
  where subject.progress_is_old
),

progressing as materialized (
  select barrier.*
  from progressed
  cross join lateral (
    select namespace, execution_id
    from barriers
    where barriers.namespace = progressed.namespace
      and barriers.execution_id = progressed.execution_id
      and barriers.generation = progressed.generation
      and barriers.closed_at is null
      and barriers.last_progress_at = progressed.last_progress_at
    for no key update skip locked
  ) as barrier
),

moved as (
  update barriers
  set last_progress_at = clock_timestamp()
  from progressing
  where barriers.namespace = progressing.namespace and barriers.execution_id = progressing.execution_id
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
  coalesce(to_json(rfc3339(extended.lease_expires_at)), 'null') as lease_expires_at
from seen
left join extended using (namespace, execution_id, generation, batch_index)
order by ord
