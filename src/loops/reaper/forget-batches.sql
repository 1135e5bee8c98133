-- A step of retention: forgets the batches of a closed barrier some time after it closed and its callback was settled. The
-- barrier stays as a tombstone, which answers late calls.
--
-- $1  how many seconds after
-- ->  one row for each batch forgotten, at most 1,000, and for each barrier that has none any more: execution_id

-- The conditions are judged again on the version that the lock returns, and the lock keeps it from being replaced or its
-- callback from being redelivered meanwhile. An open barrier fits none of them, however old.
with barrier as materialized (
  select namespace, execution_id, generation
  from barriers
  where state <> 'open'
    and callback_state in ('none', 'delivered', 'dead')
    and batches_kept
    and coalesce(callback_settled_at, closed_at) <= now() - make_interval(secs => $1)
  order by coalesce(callback_settled_at, closed_at)
  limit 100
  for no key update skip locked
),

batch as materialized (
  select batch.*
  from barrier
  cross join lateral (
    select namespace, execution_id, generation, batch_index
    from batches
    where batches.namespace = barrier.namespace
      and batches.execution_id = barrier.execution_id
      and batches.generation = barrier.generation
    order by batches.batch_index
    limit 1000
    for update skip locked
  ) as batch
  limit 1000
),

forgotten as (
  delete from batches
  using batch
  where batches.namespace = batch.namespace
    and batches.execution_id = batch.execution_id
    and batches.generation = batch.generation
    and batches.batch_index = batch.batch_index
  returning batches.execution_id
),

freed as (
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
  returning barriers.execution_id
)

select execution_id from forgotten
union all
select execution_id from freed
