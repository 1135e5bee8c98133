-- POST /executions/:execution_id/barrier/abort
--
-- The first call wins: an open barrier becomes aborted for good, and every later call sees the first one's reason. A completed
-- barrier cannot be aborted. The lock waits for a decrement in flight and returns the row as that decrement left it.
--
-- $1  [{ namespace, execution_id, generation, nonce, reason }]
-- ->  outcome: aborted | already_closed | execution_not_found | stale_generation, generation, state, callback_id, reply

with ask as materialized (
  select namespace, execution_id, generation as generation_asked, nonce, reason as reason_asked
  from json_to_recordset($1) as ask (
    namespace text, execution_id text, generation integer, nonce text, reason text
  )
),

barrier as materialized (
  select barrier.*
  from ask
  cross join lateral (
    select *
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    for no key update
  ) as barrier
),

aborted_barrier as (
  update barriers
  set
    state = 'aborted',
    reason = ask.reason_asked,
    closing_nonce = ask.nonce,
    (closed_at, callback_state, callback_id, callback_due_at) = (
      select * from closing(barriers.callback_events, 'aborted', ask.nonce)
    )
  from ask
  join barrier using (namespace, execution_id)
  where barriers.namespace = ask.namespace
    and barriers.execution_id = ask.execution_id
    and barrier.state = 'open'
    and coalesce(ask.generation_asked = barrier.generation, true)
  returning barriers.*
),

barrier_after as (
  select * from aborted_barrier
  union all
  select * from barrier where not exists (select from aborted_barrier)
)

select
  case
    when barrier_after.generation is null or ask.generation_asked > barrier_after.generation then 'execution_not_found'
    when ask.generation_asked < barrier_after.generation then 'stale_generation'
    when barrier_after.closing_nonce = ask.nonce then 'aborted'
    else 'already_closed'
  end as outcome,
  barrier_after.generation,
  barrier_after.state,
  barrier_after.callback_id,
  (
    select to_json(reply)
    from (
      select case when barrier_after.closing_nonce = ask.nonce then 'aborted' else 'already_closed' end as outcome,
        barrier_after.generation, barrier_after.state, barrier_after.reason, barrier_after.total,
        barrier_after.succeeded, barrier_after.failed,
        barrier_after.total - barrier_after.succeeded - barrier_after.failed as remaining
    ) as reply
  ) as reply
from ask
left join barrier_after using (namespace, execution_id)
