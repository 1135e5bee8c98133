-- A step of retention: forgets the batches of replaced generations, some time after the newest replace. The newest replace of an
-- execution that is replaced again and again is never so old; there the step forgets the batches last seen so long ago.
--
-- $1  how many seconds after
-- $2  how many of them at most, $3  how many of the first to pass over, because they failed alone: see sweep.ts
-- $4  `batches`, or `barriers` that have none left: one kind a run, so that a row that fails is passed over by itself
-- ->  one row for each batch forgotten, or for each barrier that has no older batches any more: execution_id

-- The barriers' locks keep them from being replaced, cleared or forgotten meanwhile.
with long_replaced as materialized (
  select namespace, execution_id, generation, oldest_generation
  from barriers
  where oldest_generation < generation
    and created_at <= now() - make_interval(secs => $1)
  order by created_at
  limit case when $4 = 'barriers' then $2 else 100 end
  offset case when $4 = 'barriers' then $3 else 0 end
  for no key update skip locked
),

-- The newest first: executions replaced again and again are among these after each replace; all others become long replaced.
recently_replaced as materialized (
  select namespace, execution_id
  from barriers
  where oldest_generation < generation
    and oldest_generation < generation - 1
    and created_at > now() - make_interval(secs => $1)
  order by created_at desc
  limit 1000
),

-- One look-up for each: the first batch in the order of keys belongs to the oldest generation.
often_replaced as materialized (
  select namespace, execution_id, generation, oldest_generation
  from barriers
  where (namespace, execution_id) in (select namespace, execution_id from recently_replaced)
    and oldest_generation < generation - 1
    and created_at > now() - make_interval(secs => $1)
    and (
      select batches.last_seen_at
      from batches
      where batches.namespace = barriers.namespace
        and batches.execution_id = barriers.execution_id
        and batches.generation >= barriers.oldest_generation
        and batches.generation < barriers.generation
      order by batches.generation, batches.batch_index
      limit 1
    ) <= now() - make_interval(secs => $1)
  order by created_at
  limit 100
  for no key update skip locked
),

barrier as materialized (
  select *, true as may_be_freed
  from long_replaced
  union all
  select *, false
  from often_replaced
),

old_batch as materialized (
  select batch.*
  from barrier
  cross join lateral (
    select namespace, execution_id, generation, batch_index, outcome_bytes
    from batches
    where batches.namespace = barrier.namespace
      and batches.execution_id = barrier.execution_id
      and batches.generation >= barrier.oldest_generation
      and batches.generation < barrier.generation
      and batches.last_seen_at <= now() - make_interval(secs => $1)
    order by batches.generation, batches.batch_index
    limit $2::integer + $3::integer
    for update skip locked
  ) as batch
  where $4 = 'batches'
  limit $2
  offset $3
),

-- Also at most 32 MiB, or one batch, because each page of a result takes its time; the row holds its size.
batch as materialized (
  select *
  from (
    select *, sum(outcome_bytes) over (rows unbounded preceding) as bytes
    from old_batch
  ) as old_batch
  where bytes <= 33554432 or bytes = outcome_bytes
),

deleted_batch as (
  delete from batches
  using batch
  where batches.namespace = batch.namespace
    and batches.execution_id = batch.execution_id
    and batches.generation = batch.generation
    and batches.batch_index = batch.batch_index
  returning batches.execution_id
),

emptied_barrier as (
  update barriers
  set oldest_generation = barriers.generation
  from barrier
  left join lateral (
    select batches.batch_index
    from batches
    where batches.namespace = barrier.namespace
      and batches.execution_id = barrier.execution_id
      and batches.generation >= barrier.oldest_generation
      and batches.generation < barrier.generation
    limit 1
  ) as kept on true
  where barriers.namespace = barrier.namespace
    and barriers.execution_id = barrier.execution_id
    and barrier.may_be_freed
    and $4 = 'barriers'
    and kept.batch_index is null
  returning barriers.execution_id
)

select execution_id from deleted_batch
union all
select execution_id from emptied_barrier
