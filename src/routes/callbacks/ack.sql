-- POST /executions/:execution_id/callback/ack
--
-- Marks a pulled callback as delivered. Only the token of the newest lease can do that, even after the lease is over or was
-- given back by retry, as long as there is no newer lease. The same token again gets the same answer.
--
-- $1  [{ namespace, execution_id, token }], one object
-- ->  outcome: delivered | execution_not_found | stale_generation | callback_not_found | stale_token, generation, attempt,
--     callback_state, callback_id, reply

with ask as materialized (
  select
    namespace,
    execution_id,
    token,
    case when token ~ '^(0|[1-9][0-9]{0,8})\.' then split_part(token, '.', 1)::integer end as generation_shown
  from json_to_recordset($1) as ask (namespace text, execution_id text, token text)
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

-- A posted callback has a token too, but only the service uses it.
judged_ask as materialized (
  select
    ask.namespace,
    ask.execution_id,
    case
      when barrier.generation is null then 'execution_not_found'
      when ask.generation_shown < barrier.generation then 'stale_generation'
      when barrier.callback_state = 'none' then 'callback_not_found'
      when barrier.callback_queue is null or ask.token is distinct from barrier.callback_token then 'stale_token'
      when barrier.callback_state = 'dead' then 'stale_token'
      else 'delivered'
    end as outcome
  from ask
  left join barrier using (namespace, execution_id)
),

delivered_barrier as (
  update barriers
  set
    callback_state = 'delivered',
    callback_due_at = null,
    callback_settled_at = clock_timestamp(),
    callback_attempts = callback_attempts_with(barriers, jsonb_build_object(
      'outcome', 'delivered',
      'status', null,
      'error', null,
      'milliseconds', floor(1000 * extract(epoch from clock_timestamp() - barriers.callback_leased_at)),
      'response', null
    ))
  from judged_ask
  where barriers.namespace = judged_ask.namespace
    and barriers.execution_id = judged_ask.execution_id
    and judged_ask.outcome = 'delivered'
    and barriers.callback_state in ('due', 'delivering')
  returning barriers.*, callback_reply(barriers) as reply
),

barrier_after as (
  select * from delivered_barrier
  union all
  select * from barrier where not exists (select from delivered_barrier)
)

select
  judged_ask.outcome,
  barrier_after.generation,
  barrier_after.callback_attempt as attempt,
  case
    when barrier_after.callback is not null
      then callback_state_now(barrier_after.callback_state, barrier_after.callback_due_at, barrier_after.callback_leased_at)
  end as callback_state,
  barrier_after.callback_id,
  barrier_after.reply
from judged_ask
left join barrier_after using (namespace, execution_id)
