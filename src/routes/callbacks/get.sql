-- GET /executions/:execution_id/callback
--
-- The callback of the current generation, with its newest attempts. The statement that closed the barrier made it due.
--
-- $1  [{ namespace, execution_id }], one object
-- ->  outcome: found | callback_not_found | execution_not_found, reply

with ask as materialized (
  select *
  from json_to_recordset($1) as ask (namespace text, execution_id text)
)

select
  case
    when barrier.generation is null then 'execution_not_found'
    when barrier.callback is null then 'callback_not_found'
    else 'found'
  end as outcome,
  barrier.reply
from ask
left join lateral (
  select *, callback_reply(barriers) as reply
  from barriers
  where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
  limit 1
) as barrier on true
