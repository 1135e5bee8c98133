-- POST /executions/:execution_id/barrier/decrement
-- POST /executions/:execution_id/barrier/decrements
--
-- Records the outcome of batches and counts each at most once per generation; when the last is in, or failures exceed the
-- tolerance, closes the barrier and makes its callback due in the same statement. All asks of one run are one event: all
-- are counted, then each barrier is judged once.
--
-- $1  [{ namespace, execution_id, batch_index, generation, token, nonce, status, result, error }]
--     nonce: a batch recorded, or a barrier closed, by this ask is told by it, also when the run is repeated
-- $2  whether to wait for a locked barrier; if not, its asks answer `again`
-- ->  outcome: recorded | duplicate | stale_token | stale_generation | barrier_closed | batch_out_of_range
--       | execution_not_found | again, and the columns of the last select

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

execution as materialized (
  select distinct namespace, execution_id
  from ask
  order by namespace, execution_id
),

-- Locked before any batch, in key order and in every state; a lock returns the newest version of its row, and everything
-- after branches on that.
barrier as materialized (
  select waited.*
  from execution
  cross join lateral (
    select *
    from barriers
    where $2
      and barriers.namespace = execution.namespace
      and barriers.execution_id = execution.execution_id
    for no key update
  ) as waited
  union all
  select passed.*
  from execution
  cross join lateral (
    select *
    from barriers
    where not $2
      and barriers.namespace = execution.namespace
      and barriers.execution_id = execution.execution_id
    for no key update skip locked
  ) as passed
),

-- The batch as the snapshot has it, and the barrier as it was in the snapshot, before any wait. The moment is taken once the
-- barrier is locked, so it is later than that of an earlier copy of the same run, whose nonces are the same: by it a run
-- knows what it wrote itself.
seen as materialized (
  select
    ask.*,
    clock_timestamp() as moment,
    barrier.generation,
    barrier.state as barrier_state,
    barrier.total,
    barrier.batches_kept,
    before.generation as generation_before,
    before.state as state_before,
    batch.state,
    batch.attempt,
    batch.token,
    batch.recorded_nonce,
    batch.result as recorded_result,
    batch.error as recorded_error,
    -- A claim made before the first enqueue counts as none.
    case when barrier.generation = 1 and ask.token_shown like '0.%' then null else ask.token_shown end as token_judged
  from ask
  left join barrier using (namespace, execution_id)
  left join lateral (
    select barriers.generation, barriers.state
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    limit 1
  ) as before on true
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

-- The first ask of each batch whose token is not another's.
candidate as materialized (
  select distinct on (namespace, execution_id, batch_index) *
  from seen
  where barrier_state = 'open'
    and batch_index < total
    and coalesce(generation_asked = generation, true)
    and coalesce(state, 'claimed') in ('claimed', 'released')
    and (token_judged is null or token_judged = token)
  order by namespace, execution_id, batch_index, ord
),

written as (
  insert into batches as batch (
    namespace, execution_id, generation, batch_index, state, attempt, token, recorded_nonce, recorded_at, result, error,
    outcome_bytes
  )
  select
    namespace, execution_id, generation, batch_index, status_asked, coalesce(attempt, 0), token_judged, nonce,
    moment, result, error,
    coalesce(octet_length(result::text), 0) + coalesce(octet_length(error::text), 0)
  from candidate
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
      -- A takeover may have come between the snapshot and this row's lock: then the token shown is stale.
      select
        batch.state in ('claimed', 'released')
          and (excluded.token is null or excluded.token = batch.token) as mine
      offset 0
    ) as verdict
  )
  returning namespace, execution_id, generation, batch_index, state, attempt, token, recorded_nonce, recorded_at,
    result, error, outcome_bytes
),

-- Joined with `seen`, because the planner takes `candidate` for one row and compares each of them with each that was written.
counted_batch as materialized (
  select seen.ord, seen.namespace, seen.execution_id, seen.batch_index, seen.nonce, written.state, written.outcome_bytes
  from seen
  join written using (namespace, execution_id, generation, batch_index)
  where written.recorded_nonce = seen.nonce and written.recorded_at = seen.moment
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

verdict as materialized (
  select
    barrier.namespace,
    barrier.execution_id,
    barrier.succeeded + tally.succeeded as succeeded,
    barrier.failed + tally.failed as failed,
    barrier.result_bytes + tally.bytes as result_bytes,
    case
      when barrier.failed + tally.failed > barrier.tolerated_failure_count then 'aborted'
      when barrier.succeeded + tally.succeeded + barrier.failed + tally.failed = barrier.total then 'completed'
      else 'open'
    end as state,
    case
      when barrier.failed + tally.failed > barrier.tolerated_failure_count then format(
        'Batch %s failed: %s failed, %s tolerated.',
        tally.failed_indexes[barrier.tolerated_failure_count - barrier.failed + 1],
        barrier.failed + tally.failed,
        barrier.tolerated_failure_count
      )
    end as reason,
    case
      when barrier.failed + tally.failed > barrier.tolerated_failure_count
        then tally.failed_nonces[barrier.tolerated_failure_count - barrier.failed + 1]
      when barrier.succeeded + tally.succeeded + barrier.failed + tally.failed = barrier.total
        then tally.last_nonce
    end as closing_nonce
  from barrier
  join tally using (namespace, execution_id)
),

counted as (
  update barriers
  set
    succeeded = verdict.succeeded,
    failed = verdict.failed,
    result_bytes = verdict.result_bytes,
    state = verdict.state,
    reason = verdict.reason,
    closing_nonce = verdict.closing_nonce,
    last_progress_at = clock_timestamp(),
    closed_at = case when verdict.state <> 'open' then clock_timestamp() end,
    callback_state = case when verdict.state = any (barriers.callback_events) then 'due' else 'none' end,
    callback_id = case when verdict.state = any (barriers.callback_events) then 'cb_' || verdict.closing_nonce end,
    callback_due_at = case when verdict.state = any (barriers.callback_events) then clock_timestamp() end
  from verdict
  where barriers.namespace = verdict.namespace and barriers.execution_id = verdict.execution_id
  returning
    barriers.namespace, barriers.execution_id, barriers.state, barriers.reason, barriers.succeeded, barriers.failed,
    barriers.closing_nonce, barriers.callback_id
),

after as materialized (
  select
    namespace,
    execution_id,
    coalesce(counted.state, barrier.state) as state,
    coalesce(counted.reason, barrier.reason) as reason,
    coalesce(counted.succeeded, barrier.succeeded) as succeeded,
    coalesce(counted.failed, barrier.failed) as failed,
    coalesce(counted.closing_nonce, barrier.closing_nonce) as closing_nonce,
    coalesce(counted.callback_id, barrier.callback_id) as callback_id
  from barrier
  left join counted using (namespace, execution_id)
),

decided as (
  select
    seen.*,
    after.state as state_after,
    after.reason,
    after.succeeded,
    after.failed,
    after.callback_id,
    coalesce(written.state, seen.state) as batch_state,
    coalesce(written.attempt, seen.attempt) as attempt_after,
    coalesce(after.closing_nonce = seen.nonce, false) as closed_by_this,
    coalesce(written.result, seen.recorded_result)::text is not distinct from seen.result::text
      and coalesce(written.error, seen.recorded_error)::text is not distinct from seen.error::text
      and coalesce(written.state, seen.state) = seen.status_asked as same,
    case
      when seen.generation is null and seen.generation_before is null then 'execution_not_found'
      when seen.generation is null then 'again'
      when seen.batch_index >= seen.total then 'batch_out_of_range'
      when seen.generation_asked < seen.generation then 'stale_generation'
      when seen.generation_asked > seen.generation then 'execution_not_found'
      when coalesce(written.recorded_nonce, seen.recorded_nonce) = seen.nonce then 'recorded'
      when seen.token_judged ~ '^(0|[1-9][0-9]{0,8})\.' and split_part(seen.token_judged, '.', 1)::integer < seen.generation
        then 'stale_generation'
      when coalesce(written.state, seen.state) in ('succeeded', 'failed') then
        case
          when coalesce(seen.token_judged = coalesce(written.token, seen.token), seen.token_judged is null)
            then 'duplicate'
          else 'stale_token'
        end
      -- The barrier closed or was replaced while this run waited for it: its batches are newer than the snapshot.
      when seen.generation_before is distinct from seen.generation
        or (seen.state_before = 'open' and seen.barrier_state <> 'open') then 'again'
      when seen.barrier_state <> 'open' then 'barrier_closed'
      when seen.token_judged is not null then 'stale_token'
      else 'again'
    end as outcome
  from seen
  left join after using (namespace, execution_id)
  left join written using (namespace, execution_id, generation, batch_index)
)

select
  outcome,
  batch_index,
  case when batch_state in ('succeeded', 'failed') then batch_state end as status,
  case when outcome = 'duplicate' then same end as same,
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
from decided
order by ord
