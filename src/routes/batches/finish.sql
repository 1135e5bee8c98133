-- POST /executions/:execution_id/batches/:batch_index/finish
--
-- Records the outcome of a batch of an execution without a barrier: the idempotency record on its own. Only the current token
-- can do that, and only once; the same token again is a duplicate.
--
-- $1  [{ namespace, execution_id, batch_index, token, nonce, status, result, error }]
--     nonce: marks what this ask wrote; a repeat that finds its own nonce answers as the first time
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

-- Looked up once for an execution and not for each ask, as in claim.sql.
execution as materialized (
  select asked.namespace, asked.execution_id, barrier.generation is not null as has_barrier
  from (select distinct namespace, execution_id from ask) as asked
  left join lateral (
    select barriers.generation
    from barriers
    where barriers.namespace = asked.namespace and barriers.execution_id = asked.execution_id
    limit 1
  ) as barrier on true
),

-- The generation is a column and not a constant: with a constant the planner could take the index of retention, which is
-- ordered by age.
batch_key as materialized (
  select distinct namespace, execution_id, 0 as generation, batch_index
  from ask
  order by namespace, execution_id, batch_index
),

-- Rows are locked in key order, here and in every statement, so that runs cannot deadlock. A lock returns the newest version.
locked_batch as materialized (
  select batch.*
  from batch_key
  cross join lateral (
    select *
    from batches
    where batches.namespace = batch_key.namespace
      and batches.execution_id = batch_key.execution_id
      and batches.generation = batch_key.generation
      and batches.batch_index = batch_key.batch_index
    for no key update
  ) as batch
),

seen_ask as materialized (
  select
    ask.*, batch.state, batch.attempt, batch.token, batch.recorded_nonce,
    batch.generation, batch.result as recorded_result, batch.error as recorded_error,
    execution.has_barrier
  from ask
  left join execution using (namespace, execution_id)
  left join locked_batch as batch using (namespace, execution_id, batch_index)
),

recorded_batch as (
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
    from seen_ask
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

batch_after as (
  select
    seen_ask.*,
    coalesce(recorded.state, seen_ask.state) as status,
    coalesce(recorded.recorded_nonce, seen_ask.recorded_nonce) = seen_ask.nonce as mine,
    coalesce(recorded.state, seen_ask.state) = seen_ask.status_asked
      and coalesce(recorded.result, seen_ask.recorded_result)::text is not distinct from seen_ask.result::text
      and coalesce(recorded.error, seen_ask.recorded_error)::text is not distinct from seen_ask.error::text as same,
    coalesce(recorded.result, recorded.error, seen_ask.recorded_result, seen_ask.recorded_error) as outcome_recorded
  from seen_ask
  left join recorded_batch as recorded using (namespace, execution_id, batch_index)
),

answer as (
  select
    batch_after.*,
    case
      when state is null then case when has_barrier then 'barrier_exists' else 'batch_not_found' end
      when mine then 'recorded'
      when status in ('succeeded', 'failed') and token_shown = token then 'duplicate'
      when has_barrier then 'barrier_exists'
      else 'stale_token'
    end as outcome
  from batch_after
)

select
  outcome,
  case when status in ('succeeded', 'failed') then status end as status,
  case when outcome = 'duplicate' then same end as same,
  -- The same JSON with its keys in another order has as many bytes: where the lengths are equal, the service compares the two.
  case
    when outcome = 'duplicate' and not same and status = status_asked
      and octet_length(outcome_recorded::text) = octet_length(coalesce(result, error)::text)
      then outcome_recorded
  end as recorded,
  attempt
from answer
order by ord
