-- A step of the reaper: records as failed the batches that are out of attempts, counts them, and judges their barriers as a
-- decrement does. Without it a batch that nobody may claim any more would hold its barrier open until that expires.
--
-- The end of a lease does not void its token, and nobody takes the last attempt over: so after the lease its holder has the
-- grace time to record an outcome. A holder that released the batch gave it up.
--
-- Locks barriers before batches and waits for neither: rows that somebody else has locked are left for a later round.
--
-- $1  { namespace, execution_id, generation, batch_index } of the batch after which to look, in the order of keys; null:
--     from the first. The index also holds batches whose last attempt still runs, and batches of closed barriers; each step
--     looks at 10,000 of them.
-- $2  how many batches at most, $3  how many of the first to pass over, because they failed alone: see sweep.ts
-- $4  the grace time, in seconds
-- ->  next: the $1 of the next step; and one row for each barrier that was counted on: namespace, execution_id, generation,
--     state, reason, callback_id, recorded. If there is none, one row with `next` alone.

with scanned_batch as materialized (
  select namespace, execution_id, generation, batch_index,
    state = 'released'
      or batch_lease_is_over(lease_expires_at + make_interval(secs => $4), last_seen_at - make_interval(secs => $4)) as is_over
  from batches
  where state in ('claimed', 'released')
    and attempt >= max_attempts
    and (namespace, execution_id, generation, batch_index) > (
      coalesce($1::json ->> 'namespace', ''),
      coalesce($1::json ->> 'execution_id', ''),
      coalesce(($1::json ->> 'generation')::integer, 0),
      coalesce(($1::json ->> 'batch_index')::integer, 0)
    )
  order by namespace, execution_id, generation, batch_index
  limit 10000
),

exhausted_batch as materialized (
  select *
  from scanned_batch
  where is_over
  order by namespace, execution_id, generation, batch_index
  limit $2
  offset $3
),

execution as materialized (
  select distinct namespace, execution_id, generation
  from exhausted_batch
),

-- `closed_at is null`, not `state = 'open'`: the look-up of a row by its key must not fit the indexes of open barriers.
barrier as materialized (
  select barrier.*
  from execution
  cross join lateral (
    select *
    from barriers
    where barriers.namespace = execution.namespace
      and barriers.execution_id = execution.execution_id
      and barriers.generation = execution.generation
      and barriers.closed_at is null
    for no key update skip locked
  ) as barrier
),

-- Judged again on the newest version: a batch with a heartbeat or a decrement since the snapshot is left alone.
locked_batch as materialized (
  select batch.*, replace(gen_random_uuid()::text, '-', '') as nonce,
    (
      select to_json(error)
      from (select 'attempts_exhausted' as code, batch.attempt, batch.owner) as error
    ) as exhaustion
  from exhausted_batch
  join barrier using (namespace, execution_id, generation)
  cross join lateral (
    select batches.namespace, batches.execution_id, batches.generation, batches.batch_index, batches.attempt, batches.owner
    from batches
    where batches.namespace = exhausted_batch.namespace
      and batches.execution_id = exhausted_batch.execution_id
      and batches.generation = exhausted_batch.generation
      and batches.batch_index = exhausted_batch.batch_index
      and batches.state in ('claimed', 'released')
      and batches.attempt >= batches.max_attempts
      and (
        batches.state = 'released'
        or batch_lease_is_over(
          batches.lease_expires_at + make_interval(secs => $4), batches.last_seen_at - make_interval(secs => $4)
        )
      )
    for no key update skip locked
  ) as batch
),

written_batch as (
  update batches
  set
    state = 'failed',
    claim_key = null,
    lease_expires_at = null,
    recorded_nonce = locked_batch.nonce,
    recorded_at = clock_timestamp(),
    error = locked_batch.exhaustion,
    outcome_bytes = octet_length(locked_batch.exhaustion::text)
  from locked_batch
  where batches.namespace = locked_batch.namespace
    and batches.execution_id = locked_batch.execution_id
    and batches.generation = locked_batch.generation
    and batches.batch_index = locked_batch.batch_index
  returning batches.namespace, batches.execution_id, batches.batch_index, batches.recorded_nonce, batches.outcome_bytes
),

tally as materialized (
  select
    namespace,
    execution_id,
    count(*)::integer as failed,
    sum(outcome_bytes)::bigint as bytes,
    array_agg(batch_index order by batch_index) as indexes,
    array_agg(recorded_nonce order by batch_index) as nonces
  from written_batch
  group by namespace, execution_id
),

judged_barrier as materialized (
  select
    barrier.namespace,
    barrier.execution_id,
    tally.failed as recorded,
    tally.bytes,
    judged.*
  from barrier
  join tally using (namespace, execution_id)
  cross join lateral judged(
    barrier.total, barrier.tolerated_failure_count, barrier.succeeded, barrier.failed + tally.failed,
    tally.indexes, tally.nonces, tally.nonces[tally.failed]
  ) as judged
),

counted_barrier as (
  update barriers
  set
    failed = barriers.failed + judged_barrier.recorded,
    result_bytes = barriers.result_bytes + judged_barrier.bytes,
    state = judged_barrier.state,
    reason = judged_barrier.reason,
    closing_nonce = judged_barrier.closing_nonce,
    last_progress_at = clock_timestamp(),
    (closed_at, callback_state, callback_id, callback_due_at) = (
      select * from closing(barriers.callback_events, judged_barrier.state, judged_barrier.closing_nonce)
    )
  from judged_barrier
  where barriers.namespace = judged_barrier.namespace and barriers.execution_id = judged_barrier.execution_id
  returning
    barriers.namespace, barriers.execution_id, barriers.generation, barriers.state, barriers.reason,
    barriers.callback_id, judged_barrier.recorded
),

-- The batches of a barrier that is not open need no look: the next step goes on behind them.
resume_after as (
  select
    resume_after.namespace, resume_after.execution_id, resume_after.generation,
    case
      when barrier.state = 'open' and barrier.generation = resume_after.generation then resume_after.batch_index
      else 2147483647
    end as batch_index
  from (
    (
      select *
      from exhausted_batch
      where (select count(*) from exhausted_batch) = $2
      order by namespace desc, execution_id desc, generation desc, batch_index desc
      limit 1
    )
    union all
    (
      select *
      from scanned_batch
      where (select count(*) from exhausted_batch) < $2 and (select count(*) from scanned_batch) = 10000
      order by namespace desc, execution_id desc, generation desc, batch_index desc
      limit 1
    )
  ) as resume_after
  left join lateral (
    select barriers.generation, barriers.state
    from barriers
    where barriers.namespace = resume_after.namespace and barriers.execution_id = resume_after.execution_id
    limit 1
  ) as barrier on true
)

select (select to_json(resume_after) from resume_after) as next, counted_barrier.*
from (values (1)) as always
left join counted_barrier on true
