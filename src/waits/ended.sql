-- The executions that are no longer open in the generation that a caller waits for. One query for all waiters of a process.
--
-- $1  [{ namespace, execution_id, generation }]
-- ->  namespace, execution_id of those that ended

with ask as materialized (
  select namespace, execution_id, generation as generation_asked
  from json_to_recordset($1) as ask (namespace text, execution_id text, generation integer)
),

-- Read once for an execution and not for each ask, as in claim.sql.
barrier as materialized (
  select execution.namespace, execution.execution_id, barrier.state, barrier.generation
  from (select distinct namespace, execution_id from ask) as execution
  left join lateral (
    select *
    from barriers
    where barriers.namespace = execution.namespace and barriers.execution_id = execution.execution_id
    limit 1
  ) as barrier on true
)

select distinct namespace, execution_id
from ask
join barrier using (namespace, execution_id)
where (barrier.state, barrier.generation) is distinct from ('open', ask.generation_asked)
