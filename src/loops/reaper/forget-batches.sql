-- A step of retention: forgets the batches of a closed barrier some time after it closed and its callback was settled. The
-- barrier stays as a tombstone, which answers late calls.
--
-- $1  how many seconds after
-- $2  how many of them at most, $3  how many of the first to pass over, because they failed alone: see sweep.ts
-- $4  `batches`, or `barriers` that have none left: one kind a run, so that a row that fails is passed over by itself
-- ->  one row for each batch forgotten, or for each barrier that has none any more: execution_id

-- The conditions are judged again on the version that the lock returns, and the lock keeps it from being replaced or its
-- callback from being redelivered meanwhile. An open barrier never meets them, however old it is.
with barrier as materialized (
  select namespace, execution_id, generation
  from barriers
  where state <> 'open'
    and callback_state in ('none', 'delivered', 'dead')
    and batches_kept
    and coalesce(callback_settled_at, closed_at) <= now() - make_interval(secs => $1)
  order by coalesce(callback_settled_at, closed_at)
  limit case when $4 = 'barriers' then $2 else 100 end
  offset case when $4 = 'barriers' then $3 else 0 end
  for no key update skip locked
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

emptied_barrier as (
  update barriers
  set batches_kept = false
  from barrier
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
select execution_id from emptied_barrier
