-- POST /executions/:execution_id/barrier/decrement
-- POST /executions/:execution_id/barrier/decrements
--
-- Records the outcome of batches and counts each at most once per generation. When the last outcome is in, or when failures
-- exceed the tolerance, the same statement closes the barrier and makes its callback due. All asks of one run are one event:
-- all are counted, then each barrier is judged once.
--
-- $1  [{ namespace, execution_id, batch_index, generation, token, nonce, status, result, error }]
--     nonce: marks what this ask wrote; a repeat that finds its own nonce answers as the first time
-- $2  whether to wait for a locked barrier; if not, its asks answer `again`
-- ->  outcome: recorded | duplicate | stale_token | stale_generation | barrier_closed | batch_out_of_range
--       | execution_not_found | again, and the columns of the last select
--
-- The stages:
--   ask, execution   the asks, and the executions that they name, each with its barrier as the snapshot has it
--   barrier          the same barrier as the lock returns it; its columns are null where it is passed over or not there
--   seen_ask         each ask with its barrier and, as the snapshot has it, its batch
--   open_batch       the batches that can be recorded, with the first ask for each
--   written_batch    the upsert of the open batches, judged on the newest version of each row
--   counted_batch    the written batches that this run recorded
--   tally, judged_barrier, counted_barrier
--                    the count of these, the new state of each barrier, and the barrier with both written
--   barrier_after    each barrier as it is now
--   answer           what all that means for each ask

with ask as materialized (
  select *
  from rows from (
    json_to_recordset($1) as (
      namespace text, execution_id text, batch_index integer, generation integer, token text, nonce text,
      status text, result json, error json
    )
  ) with ordinality as ask (
    namespace, execution_id, batch_index, generation_asked, token_shown, nonce, status_asked, result, error, ord
  )
),

-- Looked up once for an execution and not for each ask, as in claim.sql. The snapshot shows the barrier before any wait.
execution as materialized (
  select asked.namespace, asked.execution_id, before.generation as generation_before, before.state as state_before
  from (select distinct namespace, execution_id from ask) as asked
  left join lateral (
    select barriers.generation, barriers.state
    from barriers
    where barriers.namespace = asked.namespace and barriers.execution_id = asked.execution_id
    limit 1
  ) as before on true
  order by asked.namespace, asked.execution_id
),

-- Barriers are locked before any batch, in key order and in every state. A lock returns the newest version of its row, and
-- everything after branches on that version.
barrier as materialized (
  select execution.*, waited.generation, waited.state, waited.total, waited.succeeded, waited.failed, waited.result_bytes,
    waited.tolerated_failure_count, waited.reason, waited.closing_nonce, waited.callback_id, waited.batches_kept
  from execution
  left join lateral (
    select *
    from barriers
    where barriers.namespace = execution.namespace and barriers.execution_id = execution.execution_id
    for no key update
  ) as waited on true
  where $2
  union all
  select execution.*, passed.generation, passed.state, passed.total, passed.succeeded, passed.failed, passed.result_bytes,
    passed.tolerated_failure_count, passed.reason, passed.closing_nonce, passed.callback_id, passed.batches_kept
  from execution
  left join lateral (
    select *
    from barriers
    where barriers.namespace = execution.namespace and barriers.execution_id = execution.execution_id
    for no key update skip locked
  ) as passed on true
  where not $2
),

-- The moment is taken once the barrier is locked. An earlier copy of the same run has the same nonces but an earlier moment, so
-- the moment shows a run what it wrote itself.
seen_ask as materialized (
  select
    ask.*,
    clock_timestamp() as moment,
    barrier.generation,
    barrier.state as barrier_state,
    barrier.total,
    barrier.batches_kept,
    barrier.generation_before,
    barrier.state_before,
    batch.state,
    batch.attempt,
    batch.token,
    batch.recorded_nonce,
    batch.result as recorded_result,
    batch.error as recorded_error,
    -- A claim made before the first enqueue counts for nothing, and so does its token.
    case when barrier.generation = 1 and ask.token_shown like '0.%' then null else ask.token_shown end as token_judged
  from ask
  left join barrier using (namespace, execution_id)
  left join lateral (
    select *
    from batches
    where batches.namespace = ask.namespace
      and batches.execution_id = ask.execution_id
      and batches.generation = barrier.generation
      and batches.batch_index = ask.batch_index
    limit 1
  ) as batch on true
),

-- For each batch, the first ask that shows no token or the current one.
open_batch as materialized (
  select distinct on (namespace, execution_id, batch_index) *
  from seen_ask
  where barrier_state = 'open'
    and batch_index < total
    and coalesce(generation_asked = generation, true)
    and coalesce(state, 'claimed') in ('claimed', 'released')
    and (token_judged is null or token_judged = token)
  order by namespace, execution_id, batch_index, ord
),

written_batch as (
  insert into batches as batch (
    namespace, execution_id, generation, batch_index, state, attempt, token, recorded_nonce, recorded_at, result, error,
    outcome_bytes
  )
  select
    namespace, execution_id, generation, batch_index, status_asked, coalesce(attempt, 0), token_judged, nonce,
    moment, result, error,
    coalesce(octet_length(result::text), 0) + coalesce(octet_length(error::text), 0)
  from open_batch
  order by namespace, execution_id, generation, batch_index
  on conflict (namespace, execution_id, generation, batch_index) do update
  set (
    state, claim_key, lease_expires_at, last_seen_at, recorded_nonce, recorded_at, result, error, outcome_bytes
  ) = (
    select
      case when mine then excluded.state else batch.state end,
      case when mine then null else batch.claim_key end,
      case when mine then null else batch.lease_expires_at end,
      case when mine then excluded.recorded_at else batch.last_seen_at end,
      case when mine then excluded.recorded_nonce else batch.recorded_nonce end,
      case when mine then excluded.recorded_at else batch.recorded_at end,
      case when mine then excluded.result else batch.result end,
      case when mine then excluded.error else batch.error end,
      case when mine then excluded.outcome_bytes else batch.outcome_bytes end
    from (
      -- Between the snapshot and this row's lock another worker may have taken the batch over: then the token shown is stale.
      select
        batch.state in ('claimed', 'released')
          and (excluded.token is null or excluded.token = batch.token) as mine
      offset 0
    ) as verdict
  )
  returning namespace, execution_id, generation, batch_index, state, attempt, token, recorded_nonce, recorded_at,
    result, error, outcome_bytes
),

-- This joins `seen_ask`, because the planner expects one row of `open_batch` and would compare each of its rows with each
-- written one.
counted_batch as materialized (
  select
    seen_ask.ord, seen_ask.namespace, seen_ask.execution_id, seen_ask.batch_index, seen_ask.nonce,
    written_batch.state, written_batch.outcome_bytes
  from seen_ask
  join written_batch using (namespace, execution_id, generation, batch_index)
  where written_batch.recorded_nonce = seen_ask.nonce and written_batch.recorded_at = seen_ask.moment
),

tally as materialized (
  select
    namespace,
    execution_id,
    count(*) filter (where state = 'succeeded')::integer as succeeded,
    count(*) filter (where state = 'failed')::integer as failed,
    sum(outcome_bytes)::bigint as bytes,
    array_agg(batch_index order by ord) filter (where state = 'failed') as failed_indexes,
    array_agg(nonce order by ord) filter (where state = 'failed') as failed_nonces,
    (array_agg(nonce order by ord desc))[1] as last_nonce
  from counted_batch
  group by namespace, execution_id
),

judged_barrier as materialized (
  select
    barrier.namespace,
    barrier.execution_id,
    barrier.succeeded + tally.succeeded as succeeded,
    barrier.failed + tally.failed as failed,
    barrier.result_bytes + tally.bytes as result_bytes,
    judged.*
  from barrier
  join tally using (namespace, execution_id)
  cross join lateral judged(
    barrier.total, barrier.tolerated_failure_count, barrier.succeeded + tally.succeeded, barrier.failed + tally.failed,
    tally.failed_indexes, tally.failed_nonces, tally.last_nonce
  ) as judged
),

counted_barrier as (
  update barriers
  set
    succeeded = judged.succeeded,
    failed = judged.failed,
    result_bytes = judged.result_bytes,
    state = judged.state,
    reason = judged.reason,
    closing_nonce = judged.closing_nonce,
    last_progress_at = clock_timestamp(),
    (closed_at, callback_state, callback_id, callback_due_at) = (
      select * from closing(barriers.callback_events, judged.state, judged.closing_nonce)
    )
  from judged_barrier as judged
  where barriers.namespace = judged.namespace and barriers.execution_id = judged.execution_id
  returning
    barriers.namespace, barriers.execution_id, barriers.state, barriers.reason, barriers.succeeded, barriers.failed,
    barriers.closing_nonce, barriers.callback_id
),

barrier_after as materialized (
  select
    namespace,
    execution_id,
    coalesce(counted_barrier.state, barrier.state) as state,
    coalesce(counted_barrier.reason, barrier.reason) as reason,
    coalesce(counted_barrier.succeeded, barrier.succeeded) as succeeded,
    coalesce(counted_barrier.failed, barrier.failed) as failed,
    coalesce(counted_barrier.closing_nonce, barrier.closing_nonce) as closing_nonce,
    coalesce(counted_barrier.callback_id, barrier.callback_id) as callback_id
  from barrier
  left join counted_barrier using (namespace, execution_id)
),

answer as (
  select
    seen_ask.*,
    barrier_after.state as state_after,
    barrier_after.reason,
    barrier_after.succeeded,
    barrier_after.failed,
    barrier_after.callback_id,
    coalesce(written.state, seen_ask.state) as batch_state,
    coalesce(written.attempt, seen_ask.attempt) as attempt_after,
    coalesce(barrier_after.closing_nonce = seen_ask.nonce, false) as closed_by_this,
    coalesce(written.result, seen_ask.recorded_result)::text is not distinct from seen_ask.result::text
      and coalesce(written.error, seen_ask.recorded_error)::text is not distinct from seen_ask.error::text
      and coalesce(written.state, seen_ask.state) = seen_ask.status_asked as same,
    coalesce(written.result, written.error, seen_ask.recorded_result, seen_ask.recorded_error) as recorded,
    case
      when seen_ask.generation is null and seen_ask.generation_before is null then 'execution_not_found'
      when seen_ask.generation is null then 'again'
      when seen_ask.batch_index >= seen_ask.total then 'batch_out_of_range'
      when seen_ask.generation_asked < seen_ask.generation then 'stale_generation'
      when seen_ask.generation_asked > seen_ask.generation then 'execution_not_found'
      when coalesce(written.recorded_nonce, seen_ask.recorded_nonce) = seen_ask.nonce then 'recorded'
      when seen_ask.token_judged ~ '^(0|[1-9][0-9]{0,8})\.'
        and split_part(seen_ask.token_judged, '.', 1)::integer < seen_ask.generation
        then 'stale_generation'
      when coalesce(written.state, seen_ask.state) in ('succeeded', 'failed') then
        case
          when coalesce(seen_ask.token_judged = coalesce(written.token, seen_ask.token), seen_ask.token_judged is null)
            then 'duplicate'
          else 'stale_token'
        end
      -- The barrier closed or was replaced while this run waited for it, so its batches are newer than the snapshot.
      when seen_ask.generation_before is distinct from seen_ask.generation
        or (seen_ask.state_before = 'open' and seen_ask.barrier_state <> 'open') then 'again'
      when seen_ask.barrier_state <> 'open' then 'barrier_closed'
      when seen_ask.token_judged is not null then 'stale_token'
      else 'again'
    end as outcome
  from seen_ask
  left join barrier_after using (namespace, execution_id)
  left join written_batch as written using (namespace, execution_id, generation, batch_index)
)

select
  outcome,
  batch_index,
  case when batch_state in ('succeeded', 'failed') then batch_state end as status,
  case when outcome = 'duplicate' then same end as same,
  -- The same JSON with its keys in another order has as many bytes: where the lengths are equal, the service compares the two.
  case
    when outcome = 'duplicate' and not same and batch_state = status_asked
      and octet_length(recorded::text) = octet_length(coalesce(result, error)::text)
      then recorded
  end as recorded,
  case when outcome = 'stale_token' then attempt_after end as attempt,
  generation,
  state_after as state,
  case when outcome = 'barrier_closed' then coalesce(to_json(reason), 'null') end as reason,
  case when outcome = 'barrier_closed' and not batches_kept then true end as forgotten,
  total - succeeded - failed as remaining,
  total,
  succeeded,
  failed,
  closed_by_this,
  case when closed_by_this then callback_id end as callback_id
from answer
order by ord
