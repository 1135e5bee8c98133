-- A step of retention: forgets tombstones, with the body of their callback, some time after they closed and their callback was
-- settled, once no batch of theirs is left; a clear that never came to its end may have left some. From then on a message of
-- the execution is a stranger's.
--
-- $1  how many seconds after
-- ->  one row for each barrier forgotten, at most 1,000: execution_id

with barrier as materialized (
  select namespace, execution_id, generation
  from barriers
  where state <> 'open'
    and callback_state in ('none', 'delivered', 'dead')
    and not batches_kept
    and oldest_generation = generation
    and coalesce(callback_settled_at, closed_at) <= now() - make_interval(secs => $1)
  order by coalesce(callback_settled_at, closed_at)
  limit 1000
  for update skip locked
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
)

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
returning barriers.execution_id
