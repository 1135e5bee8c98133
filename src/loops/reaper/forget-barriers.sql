-- A step of retention: forgets tombstones, with the body of their callback, some time after they closed and their callback was
-- settled, once no batch of theirs is left. From then on a message of the execution is a stranger's.
--
-- $1  how many seconds after
-- ->  one row for each barrier forgotten, at most 1,000: execution_id

with barrier as materialized (
  select namespace, execution_id
  from barriers
  where state <> 'open'
    and callback_state in ('none', 'delivered', 'dead')
    and not batches_kept
    and oldest_generation = generation
    and coalesce(callback_settled_at, closed_at) <= now() - make_interval(secs => $1)
  order by coalesce(callback_settled_at, closed_at)
  limit 1000
  for update skip locked
)

delete from barriers
using barrier
where barriers.namespace = barrier.namespace and barriers.execution_id = barrier.execution_id
returning barriers.execution_id
