-- GET /executions/:execution_id/callback
--
-- The callback of the current generation. Its barrier's closing made it due, in the same statement.
--
-- $1  [{ namespace, execution_id }]
-- ->  outcome: found | callback_not_found | execution_not_found, reply

with ask as materialized (
  select *
  from json_to_recordset($1) as ask (namespace text, execution_id text)
)

select
  case
    when barriers.generation is null then 'execution_not_found'
    when barriers.callback is null then 'callback_not_found'
    else 'found'
  end as outcome,
  (
    select to_json(reply)
    from (
      select barriers.execution_id, barriers.generation, barriers.callback_id, barriers.callback_state as state,
        rfc3339(barriers.callback_due_at) as due_at, barriers.callback, '[]'::json as attempts
    ) as reply
  ) as reply
from ask
left join barriers using (namespace, execution_id)
