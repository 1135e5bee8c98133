-- POST /executions/:execution_id/batches/:batch_index/finish
--
-- Records the outcome of a batch of an execution without a barrier: the idempotency record on its own. Only the current
-- token does, once; the same token again is a duplicate.
--
-- $1  [{ namespace, execution_id, batch_index, token, nonce, status, result, error }]
--     nonce: what this ask recorded is told by it, also when the run is repeated
-- ->  outcome: recorded | duplicate | stale_token | barrier_exists | batch_not_found, status, same, attempt

with ask as materialized (
  select *
  from rows from (
    json_to_recordset($1) as (
      namespace text, execution_id text, batch_index integer, token text, nonce text, status text, result json,
      error json
    )
  ) with ordinality as ask (
    namespace, execution_id, batch_index, token_shown, nonce, status_asked, result, error, ord
  )
),

-- The generation is a column, not a constant: that would fit the index of retention, which is ordered by age.
subject as materialized (
  select distinct namespace, execution_id, 0 as generation, batch_index
  from ask
  order by 1, 2, 4
),

-- Rows are locked in key order, here and in every statement, so that runs cannot deadlock. A lock returns the newest version.
held as materialized (
  select batch.*
  from subject
  cross join lateral (
    select *
    from batches
    where batches.namespace = subject.namespace
      and batches.execution_id = subject.execution_id
      and batches.generation = subject.generation
      and batches.batch_index = subject.batch_index
    for no key update
  ) as batch
),

seen as materialized (
  select
    ask.*, held.state, held.attempt, held.token, held.recorded_nonce,
    held.generation, held.result as recorded_result, held.error as recorded_error,
    barrier.generation is not null as has_barrier
  from ask
  left join held using (namespace, execution_id, batch_index)
  left join lateral (
    select barriers.generation
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    limit 1
  ) as barrier on true
),

recorded as (
  update batches
  set
    state = first.status_asked,
    claim_key = null,
    lease_expires_at = null,
    last_seen_at = clock_timestamp(),
    recorded_nonce = first.nonce,
    recorded_at = clock_timestamp(),
    result = first.result,
    error = first.error,
    outcome_bytes = coalesce(octet_length(first.result::text), 0) + coalesce(octet_length(first.error::text), 0)
  from (
    select distinct on (namespace, execution_id, batch_index) *
    from seen
    where state in ('claimed', 'released') and token_shown = token and not has_barrier
    order by namespace, execution_id, batch_index, ord
  ) as first
  where batches.namespace = first.namespace
    and batches.execution_id = first.execution_id
    and batches.generation = first.generation
    and batches.batch_index = first.batch_index
  returning
    batches.namespace, batches.execution_id, batches.batch_index, batches.state, batches.recorded_nonce,
    batches.result, batches.error
),

newest as (
  select
    seen.*,
    coalesce(recorded.state, seen.state) as status,
    coalesce(recorded.recorded_nonce, seen.recorded_nonce) = seen.nonce as mine,
    coalesce(recorded.state, seen.state) = seen.status_asked
      and coalesce(recorded.result, seen.recorded_result)::text is not distinct from seen.result::text
      and coalesce(recorded.error, seen.recorded_error)::text is not distinct from seen.error::text as same
  from seen
  left join recorded using (namespace, execution_id, batch_index)
),

decided as (
  select
    newest.*,
    case
      when state is null then case when has_barrier then 'barrier_exists' else 'batch_not_found' end
      when mine then 'recorded'
      when status in ('succeeded', 'failed') and token_shown = token then 'duplicate'
      when has_barrier then 'barrier_exists'
      else 'stale_token'
    end as outcome
  from newest
)

select
  outcome,
  case when status in ('succeeded', 'failed') then status end as status,
  case when outcome = 'duplicate' then same end as same,
  attempt
from decided
order by ord
