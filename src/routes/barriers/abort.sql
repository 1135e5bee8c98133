-- POST /executions/:execution_id/barrier/abort
--
-- One winner: an open barrier becomes aborted for good, and every later call sees its reason. A completed barrier cannot be
-- aborted. The lock waits for a decrement in flight and returns what that left.
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

aborted as (
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

newest as (
  select * from aborted
  union all
  select * from barrier where not exists (select from aborted)
)

select
  case
    when newest.generation is null or ask.generation_asked > newest.generation then 'execution_not_found'
    when ask.generation_asked < newest.generation then 'stale_generation'
    when newest.closing_nonce = ask.nonce then 'aborted'
    else 'already_closed'
  end as outcome,
  newest.generation,
  newest.state,
  newest.callback_id,
  (
    select to_json(reply)
    from (
      select case when newest.closing_nonce = ask.nonce then 'aborted' else 'already_closed' end as outcome,
        newest.generation, newest.state, newest.reason, newest.total, newest.succeeded, newest.failed,
        newest.total - newest.succeeded - newest.failed as remaining
    ) as reply
  ) as reply
from ask
left join newest using (namespace, execution_id)
