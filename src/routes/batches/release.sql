-- POST /executions/:execution_id/batches/:batch_index/release
--
-- Gives a batch back, so that the next delivery finds it free at once. Only the current token can do that; the same token
-- again, before the next grant, gets the same answer.
--
-- $1  [{ namespace, execution_id, batch_index, token }]
-- ->  outcome: released | stale_token | stale_generation | barrier_closed | batch_not_found, status, generation, attempt,
--     state, reason

with ask as materialized (
  select *
  from rows from (
    json_to_recordset($1) as (namespace text, execution_id text, batch_index integer, token text)
  ) with ordinality as ask (namespace, execution_id, batch_index, token_shown, ord)
),

-- Looked up once for an execution and not for each ask, as in claim.sql.
barrier as materialized (
  select execution.namespace, execution.execution_id, coalesce(barrier.generation, 0) as generation,
    barrier.state as barrier_state, barrier.reason
  from (select distinct namespace, execution_id from ask) as execution
  left join lateral (
    select *
    from barriers
    where barriers.namespace = execution.namespace and barriers.execution_id = execution.execution_id
    limit 1
  ) as barrier on true
),

batch_key as materialized (
  select distinct barrier.namespace, barrier.execution_id, barrier.generation, ask.batch_index
  from ask
  left join barrier using (namespace, execution_id)
  order by namespace, execution_id, generation, batch_index
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
  select ask.*, barrier.generation, barrier.barrier_state, barrier.reason, locked_batch.state, locked_batch.attempt,
    locked_batch.token
  from ask
  left join barrier using (namespace, execution_id)
  left join locked_batch using (namespace, execution_id, generation, batch_index)
),

released_batch as (
  update batches
  set state = 'released', claim_key = null, lease_expires_at = null, last_seen_at = clock_timestamp()
  from (
    select distinct namespace, execution_id, generation, batch_index
    from seen_ask
    where state = 'claimed' and token_shown = token and coalesce(barrier_state, 'open') = 'open'
  ) as given_back
  where batches.namespace = given_back.namespace
    and batches.execution_id = given_back.execution_id
    and batches.generation = given_back.generation
    and batches.batch_index = given_back.batch_index
)

select
  case
    when token_shown ~ '^(0|[1-9][0-9]{0,8})\.' and split_part(token_shown, '.', 1)::integer < generation then 'stale_generation'
    when state is null then 'batch_not_found'
    when state in ('succeeded', 'failed') then 'stale_token'
    when barrier_state <> 'open' then 'barrier_closed'
    when token_shown = token then 'released'
    else 'stale_token'
  end as outcome,
  case when state in ('succeeded', 'failed') then state end as status,
  generation,
  attempt,
  barrier_state as state,
  reason
from seen_ask
order by ord
