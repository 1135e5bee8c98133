-- GET /executions/:execution_id/batches/:batch_index
--
-- One batch with its result or error. In range without a row, or released, it is unclaimed.
--
-- $1  [{ namespace, execution_id, batch_index, generation }]
-- ->  outcome: found | batch_not_found | execution_not_found | stale_generation, generation, reply

with ask as materialized (
  select namespace, execution_id, batch_index, generation as generation_asked
  from json_to_recordset($1) as ask (namespace text, execution_id text, batch_index integer, generation integer)
)

select
  case
    when ask.generation_asked > coalesce(barriers.generation, 0) then 'execution_not_found'
    when ask.generation_asked < barriers.generation then 'stale_generation'
    when batches.state is null and coalesce(ask.batch_index >= barriers.total, true) then 'batch_not_found'
    else 'found'
  end as outcome,
  barriers.generation,
  (
    select to_json(reply)
    from (
      select ask.batch_index, coalesce(barriers.generation, 0) as generation,
        case when batches.state is null or batches.state = 'released' then 'unclaimed' else batches.state end as state,
        coalesce(batches.attempt, 0) as attempt, batches.owner, rfc3339(batches.claimed_at) as claimed_at,
        rfc3339(batches.lease_expires_at) as lease_expires_at, rfc3339(batches.recorded_at) as recorded_at,
        batches.result, batches.error
    ) as reply
  ) as reply
from ask
left join barriers using (namespace, execution_id)
left join batches
  on batches.namespace = ask.namespace
  and batches.execution_id = ask.execution_id
  and batches.generation = coalesce(barriers.generation, 0)
  and batches.batch_index = ask.batch_index
