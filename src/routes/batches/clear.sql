-- DELETE /executions/:execution_id/batches
--
-- Forgets the batches of an execution, every generation of them, once nobody can need them: not while its barrier is open
-- or its callback is yet to be delivered. The lock keeps both from changing meanwhile; the barrier stays as a tombstone.
--
-- $1  [{ namespace, execution_id }]
-- ->  outcome: cleared | barrier_open | callback_pending, state, generation, cleared

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

verdict as materialized (
  select
    ask.*,
    barrier.state,
    barrier.generation,
    case
      when barrier.state = 'open' then 'barrier_open'
      when barrier.callback_state in ('due', 'delivering') then 'callback_pending'
      else 'cleared'
    end as outcome
  from ask
  left join barrier using (namespace, execution_id)
),

forgotten as (
  delete from batches
  using verdict
  where verdict.outcome = 'cleared'
    and batches.namespace = verdict.namespace
    and batches.execution_id = verdict.execution_id
  returning batches.batch_index
)

select outcome, state, generation, case when outcome = 'cleared' then (select count(*)::integer from forgotten) end as cleared
from verdict
