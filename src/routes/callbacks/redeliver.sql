-- POST /executions/:execution_id/callback/redeliver
--
-- A callback that is delivered or dead is due again, with the same id and the same message. The tokens of its leases are void,
-- and its schedule begins anew. One that is still on its way stays as it is.
--
-- $1  [{ namespace, execution_id }]
-- ->  outcome: due | execution_not_found | callback_not_found, reply

with ask as materialized (
  select *
  from json_to_recordset($1) as ask (namespace text, execution_id text)
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

made_due as (
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
  returning barriers.*
),

newest as (
  select * from made_due
  union all
  select * from barrier where not exists (select from made_due)
)

select
  case
    when newest.generation is null then 'execution_not_found'
    when newest.callback_state = 'none' then 'callback_not_found'
    else 'due'
  end as outcome,
  callback_shown(newest) as reply
from ask
left join newest using (namespace, execution_id)
