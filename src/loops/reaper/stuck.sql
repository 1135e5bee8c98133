-- A step of the reaper: closes as expired, with the reason `stuck`, an open barrier that had no progress for
-- stuck_after_seconds and has no running lease. A claim without a lease does not count as running.
--
-- Progress moves last_progress_at, which no index holds, so that counting stays cheap. The index holds stuck_check_at, and
-- only this step moves it: to the earliest moment at which the barrier could be stuck, as far as is known now.
--
-- $1  how many barriers at most, $2  how many of the first to pass over, because they failed alone: see sweep.ts
-- ->  one row for each barrier looked at: namespace, execution_id, generation, state (expired; or open, to be looked at again
--     later), reason, callback_id

-- The lock returns the newest version of each row, with its progress since the snapshot. A barrier that somebody else has
-- locked is passed over: it may be progressing.
with barrier as materialized (
  select
    namespace, execution_id, generation,
    last_progress_at + make_interval(secs => stuck_after_seconds) as patience_ends_at
  from barriers
  where state = 'open' and stuck_check_at <= now()
  order by stuck_check_at
  limit $1
  offset $2
  for no key update skip locked
),

judged_barrier as materialized (
  select
    barrier.*,
    running.ends_at as leases_end_at,
    case
      when barrier.patience_ends_at <= clock_timestamp() and running.ends_at is null then 'expired'
      else 'open'
    end as state,
    replace(gen_random_uuid()::text, '-', '') as nonce
  from barrier
  cross join lateral (
    select max(lease_expires_at) as ends_at
    from batches
    where barrier.patience_ends_at <= clock_timestamp()
      and batches.namespace = barrier.namespace
      and batches.execution_id = barrier.execution_id
      and batches.generation = barrier.generation
      and batches.state = 'claimed'
      and not batch_lease_is_over(batches.lease_expires_at, batches.last_seen_at)
  ) as running
)

update barriers
set
  state = judged_barrier.state,
  reason = case when judged_barrier.state = 'expired' then 'stuck' end,
  closing_nonce = case when judged_barrier.state = 'expired' then nonce end,
  (closed_at, callback_state, callback_id, callback_due_at) = (
    select * from closing(callback_events, judged_barrier.state, nonce)
  ),
  -- Not only when the longest lease ends: its batch may be recorded long before, without any progress after that.
  stuck_check_at = greatest(
    patience_ends_at,
    case
      when leases_end_at is not null
        then least(leases_end_at, clock_timestamp() + make_interval(secs => stuck_after_seconds))
    end,
    clock_timestamp() + interval '1 second'
  )
from judged_barrier
where barriers.namespace = judged_barrier.namespace and barriers.execution_id = judged_barrier.execution_id
returning barriers.namespace, barriers.execution_id, barriers.generation, barriers.state, reason, callback_id
