-- GET /executions/:execution_id/batches/:batch_index
--
-- One batch with its result or error. A released batch is unclaimed, and so is a batch in range that has no row.
--
-- $1  [{ namespace, execution_id, batch_index, generation }]
-- ->  outcome: found | batch_not_found | execution_not_found | stale_generation | batches_forgotten, generation, reply

with ask as materialized (
  select namespace, execution_id, batch_index, generation as generation_asked
  from json_to_recordset($1) as ask (namespace text, execution_id text, batch_index integer, generation integer)
)

select
  case
    when ask.generation_asked > coalesce(barrier.generation, 0) then 'execution_not_found'
    when ask.generation_asked < barrier.generation then 'stale_generation'
    when ask.batch_index < barrier.total and not barrier.batches_kept then 'batches_forgotten'
    when batch.state is null and coalesce(ask.batch_index >= barrier.total, true) then 'batch_not_found'
    else 'found'
  end as outcome,
  barrier.generation,
  (
    select to_json(reply)
    from (
      select ask.batch_index, coalesce(barrier.generation, 0) as generation,
        case when batch.state is null or batch.state = 'released' then 'unclaimed' else batch.state end as state,
        coalesce(batch.attempt, 0) as attempt, batch.owner, rfc3339(batch.claimed_at) as claimed_at,
        rfc3339(batch.lease_expires_at) as lease_expires_at, rfc3339(batch.recorded_at) as recorded_at,
        batch.result, batch.error
    ) as reply
  ) as reply
from ask
left join lateral (
  select *
  from barriers
  where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
  limit 1
) as barrier on true
left join lateral (
  select *
  from batches
  where batches.namespace = ask.namespace
    and batches.execution_id = ask.execution_id
    and batches.generation = coalesce(barrier.generation, 0)
    and batches.batch_index = ask.batch_index
  limit 1
) as batch on true
