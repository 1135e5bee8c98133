-- Which of the executions that somebody waits for are no longer open in the generation that is waited for. One query for
-- all waiters of a process.
--
-- $1  [{ namespace, execution_id, generation }]
-- ->  namespace, execution_id of those that ended

select ask.namespace, ask.execution_id
from json_to_recordset($1) as ask (namespace text, execution_id text, generation integer)
left join lateral (
  select *
  from barriers
  where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
  limit 1
) as barrier on true
where (barrier.state, barrier.generation) is distinct from ('open', ask.generation)
