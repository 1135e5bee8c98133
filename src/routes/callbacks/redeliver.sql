-- POST /executions/:execution_id/callback/redeliver
--
-- Makes a callback due now, with the same id and message, whether it is delivered, given up, waiting for its next attempt,
-- given back for later, or leased. Tokens of earlier leases are void, so a worker that holds it now cannot settle it any more.
-- The schedule of posts begins anew. A callback that is already due keeps its place among the others.
--
-- $1  [{ namespace, execution_id }], one object
-- ->  outcome: due | execution_not_found | callback_not_found, callback_state, callback_id, reply

with ask as materialized (
  select *
  from json_to_recordset($1) as ask (namespace text, execution_id text)
),

-- A lock returns the newest version.
barrier as materialized (
  select barrier.*
  from ask
  cross join lateral (
    select *, callback_reply(barriers) as reply
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    for no key update
  ) as barrier
),

redelivered_barrier as (
  update barriers
  set
    callback_state = 'due',
    callback_due_at = least(barriers.callback_due_at, clock_timestamp()),
    callback_settled_at = null,
    callback_token = null,
    callback_attempts_before = barriers.callback_attempt,
    callback_attempts = case
      when barriers.callback_state <> 'delivering' then barriers.callback_attempts
      when barriers.callback_due_at <= clock_timestamp() then callback_attempts_with_lost(barriers)
      else callback_attempts_with(barriers, '{
        "outcome": "unknown", "status": null, "error": "redelivered", "milliseconds": null, "response": null
      }')
    end
  from barrier
  where barriers.namespace = barrier.namespace
    and barriers.execution_id = barrier.execution_id
    and barrier.callback_state in ('due', 'delivering', 'delivered', 'dead')
  returning barriers.*, callback_reply(barriers) as reply
),

barrier_after as (
  select * from redelivered_barrier
  union all
  select * from barrier where not exists (select from redelivered_barrier)
)

select
  case
    when barrier_after.generation is null then 'execution_not_found'
    when barrier_after.callback_state = 'none' then 'callback_not_found'
    else 'due'
  end as outcome,
  case
    when barrier_after.callback is not null
      then callback_state_now(barrier_after.callback_state, barrier_after.callback_due_at, barrier_after.callback_leased_at)
  end as callback_state,
  barrier_after.callback_id,
  barrier_after.reply
from ask
left join barrier_after using (namespace, execution_id)
