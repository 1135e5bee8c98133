-- GET /executions/:execution_id/batches
--
-- One page of batches in index order. Every page is bounded: by `page` members, 1 MiB of results, and 10,000 indexes looked
-- at. Most unclaimed batches have no row, so they are the indexes of a window that no row of another state covers.
--
-- $1  [{ namespace, execution_id, generation, state, after, page }]
-- ->  outcome: found | execution_not_found | stale_generation | batches_forgotten, generation, data, next_after (null: the list
--     has ended)

with ask as materialized (
  select ask.namespace, ask.execution_id, ask.generation as generation_asked, ask.state as state_asked, ask.after,
    ask.page, coalesce(barrier.generation, 0) as generation, barrier.total,
    barrier.batches_kept
  from json_to_recordset($1) as ask (
    namespace text, execution_id text, generation integer, state text, after integer, page integer
  )
  left join lateral (
    select *
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    limit 1
  ) as barrier on true
),

recorded as (
  select batch.*
  from ask
  cross join lateral (
    select looked_at.*
    from (
      select batches.*
      from batches
      where batches.namespace = ask.namespace
        and batches.execution_id = ask.execution_id
        and batches.generation = ask.generation
        and batches.batch_index > ask.after
      order by batches.batch_index
      limit 10000
    ) as looked_at
    where ask.state_asked is null
      or looked_at.state = case when ask.state_asked = 'unclaimed' then 'released' else ask.state_asked end
    order by looked_at.batch_index
    limit ask.page
  ) as batch
  where ask.state_asked is distinct from 'unclaimed' or ask.total is null
),

unclaimed as (
  select batch.*
  from ask
  cross join lateral (
    select looked_at.batch_index, released.attempt, released.owner, released.claimed_at
    from generate_series(ask.after + 1::bigint, least(ask.after + 10000::bigint, ask.total - 1)) as every (index)
    cross join lateral (select every.index::integer) as looked_at (batch_index)
    left join lateral (
      select *
      from batches
      where batches.namespace = ask.namespace
        and batches.execution_id = ask.execution_id
        and batches.generation = ask.generation
        and batches.batch_index = looked_at.batch_index
      limit 1
    ) as released on true
    where coalesce(released.state, 'released') = 'released'
    order by looked_at.batch_index
    limit ask.page
  ) as batch
  where ask.state_asked = 'unclaimed' and ask.total is not null
),

candidate as (
  select batch_index, case when state = 'released' then 'unclaimed' else state end as state, attempt, owner, claimed_at,
    lease_expires_at, recorded_at, result, error, outcome_bytes
  from recorded
  union all
  select batch_index, 'unclaimed', coalesce(attempt, 0), owner, claimed_at, null, null, null, null, 0
  from unclaimed
),

-- A page holds at least one batch, however large.
page as materialized (
  select *
  from (
    select *, sum(outcome_bytes) over (order by batch_index) - outcome_bytes as bytes_before
    from candidate
  ) as candidate
  where bytes_before = 0 or bytes_before + outcome_bytes <= 1048576
),

looked_to as (
  select
    case
      when (select count(*) from page) = ask.page or (select count(*) from page) < (select count(*) from candidate)
        then (select max(batch_index) from page)
      when ask.state_asked = 'unclaimed' and ask.total is not null then
        case when ask.after + 10000::bigint < ask.total - 1 then ask.after + 10000 end
      else (
        select case when count(*) = 10000 then max(batch_index) end
        from (
          select batches.batch_index
          from batches
          where batches.namespace = ask.namespace
            and batches.execution_id = ask.execution_id
            and batches.generation = ask.generation
            and batches.batch_index > ask.after
          order by batches.batch_index
          limit 10000
        ) as looked_at
      )
    end as batch_index
  from ask
)

select
  case
    when ask.generation_asked > ask.generation then 'execution_not_found'
    when ask.generation_asked < ask.generation then 'stale_generation'
    when not ask.batches_kept then 'batches_forgotten'
    when ask.total is null and (
      select batches.batch_index
      from batches
      where batches.namespace = ask.namespace
        and batches.execution_id = ask.execution_id
        and batches.generation = ask.generation
      limit 1
    ) is null then 'execution_not_found'
    else 'found'
  end as outcome,
  ask.generation,
  (
    select coalesce(
      json_agg(
        (
          select to_json(reply)
          from (
            select batch_index, ask.generation, state, attempt, owner, rfc3339(claimed_at) as claimed_at,
              rfc3339(lease_expires_at) as lease_expires_at, rfc3339(recorded_at) as recorded_at, result,
              error
          ) as reply
        )
        order by batch_index
      ),
      '[]'
    )
    from page
  ) as data,
  (select batch_index from looked_to) as next_after
from ask
