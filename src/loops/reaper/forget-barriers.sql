-- A step of retention: forgets tombstones, with the body of their callback, some time after they closed and their callback was
-- settled. No batch may be left; a clear that never came to its end may have left some. From then on a message of the execution
-- looks new.
--
-- $1  how many seconds after
-- $2  how many of them at most, $3  how many of the first to pass over, because they failed alone: see sweep.ts
-- $4  `batches`, or `barriers` that have none left: one kind a run, so that a row that fails is passed over by itself
-- ->  one row for each batch or barrier forgotten: execution_id

with old_barrier as materialized (
  select namespace, execution_id, generation,
    coalesce(pg_column_size(callback_message), 0) + coalesce(pg_column_size(metadata), 0) as stored_bytes
  from barriers
  where state <> 'open'
    and callback_state in ('none', 'delivered', 'dead')
    and not batches_kept
    and oldest_generation = generation
    and coalesce(callback_settled_at, closed_at) <= now() - make_interval(secs => $1)
  order by coalesce(callback_settled_at, closed_at)
  limit case when $4 = 'barriers' then $2 else 1000 end
  offset case when $4 = 'barriers' then $3 else 0 end
  for update skip locked
),

-- pg_column_size gives the stored size without reading the value.
barrier as materialized (
  select *
  from (
    select *, sum(stored_bytes) over (rows unbounded preceding) as bytes
    from old_barrier
  ) as old_barrier
  where bytes <= 33554432 or bytes = stored_bytes
),

old_batch as materialized (
  select batch.*
  from barrier
  cross join lateral (
    select namespace, execution_id, generation, batch_index, outcome_bytes
    from batches
    where batches.namespace = barrier.namespace
      and batches.execution_id = barrier.execution_id
      and batches.generation = barrier.generation
    order by batches.batch_index
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

deleted_barrier as (
  delete from barriers
  using barrier
  left join lateral (
    select batches.batch_index
    from batches
    where batches.namespace = barrier.namespace
      and batches.execution_id = barrier.execution_id
      and batches.generation = barrier.generation
    limit 1
  ) as kept on true
  where barriers.namespace = barrier.namespace
    and barriers.execution_id = barrier.execution_id
    and kept.batch_index is null
    and $4 = 'barriers'
  returning barriers.execution_id
)

select execution_id from deleted_batch
union all
select execution_id from deleted_barrier
