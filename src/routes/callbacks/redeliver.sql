-- POST /executions/:execution_id/callback/redeliver
--
-- Makes a callback that was delivered or given up due again, with the same id and message. Tokens of earlier leases are void,
-- and the schedule of posts begins anew. One that is still due or being delivered stays as it is.
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

due_again as (
  update barriers
  set
    callback_state = 'due',
    callback_due_at = clock_timestamp(),
    callback_settled_at = null,
    callback_token = null,
    callback_attempts_before = barriers.callback_attempt
  from barrier
  where barriers.namespace = barrier.namespace
    and barriers.execution_id = barrier.execution_id
    and barrier.callback_state in ('delivered', 'dead')
  returning barriers.*, callback_reply(barriers) as reply
),

newest as (
  select * from due_again
  union all
  select * from barrier where not exists (select from due_again)
)

select
  case
    when newest.generation is null then 'execution_not_found'
    when newest.callback_state = 'none' then 'callback_not_found'
    else 'due'
  end as outcome,
  case when newest.callback is not null then newest.callback_state end as callback_state,
  newest.callback_id,
  newest.reply
from ask
left join newest using (namespace, execution_id)
