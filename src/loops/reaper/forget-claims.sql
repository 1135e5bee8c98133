-- A step of retention: forgets batches that were claimed without a barrier, finished or not, some time after their last sign of
-- life and the end of their lease.
--
-- $1  how many seconds after
-- $2  how many batches at most, $3  how many of the first to pass over, because they failed alone: see sweep.ts
-- ->  one row for each batch forgotten

-- claimed_at is never after the last sign of life, and is indexed.
with old_batch as materialized (
  select namespace, execution_id, generation, batch_index, outcome_bytes
  from batches
  where generation = 0
    and claimed_at <= now() - make_interval(secs => $1)
    and last_seen_at <= now() - make_interval(secs => $1)
    and coalesce(lease_expires_at <= now() - make_interval(secs => $1), true)
  order by claimed_at
  limit $2
  offset $3
  for update skip locked
),

-- Also at most 32 MiB, or one batch, because each page of a result takes its time; the row holds its size.
batch as materialized (
  select *
  from (
    select *, sum(outcome_bytes) over (rows unbounded preceding) as bytes
    from old_batch
  ) as old_batch
  where bytes <= 33554432 or bytes = outcome_bytes
)

delete from batches
using batch
where batches.namespace = batch.namespace
  and batches.execution_id = batch.execution_id
  and batches.generation = batch.generation
  and batches.batch_index = batch.batch_index
returning batches.batch_index
