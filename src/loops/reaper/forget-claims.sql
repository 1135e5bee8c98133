-- A step of retention: forgets what was claimed without a barrier, finished or not, some time after the last sign of life and
-- the end of the lease.
--
-- $1  how many seconds after
-- ->  one row for each batch forgotten, at most 1,000

-- claimed_at is never after the last sign of life, and is indexed.
with batch as materialized (
  select namespace, execution_id, generation, batch_index
  from batches
  where generation = 0
    and claimed_at <= now() - make_interval(secs => $1)
    and last_seen_at <= now() - make_interval(secs => $1)
    and coalesce(lease_expires_at <= now() - make_interval(secs => $1), true)
  order by claimed_at
  limit 1000
  for update skip locked
)

delete from batches
using batch
where batches.namespace = batch.namespace
  and batches.execution_id = batch.execution_id
  and batches.generation = batch.generation
  and batches.batch_index = batch.batch_index
returning batches.batch_index
