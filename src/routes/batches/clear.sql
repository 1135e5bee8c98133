-- DELETE /executions/:execution_id/batches
--
-- Forgets the batches of every generation of an execution, once nobody can need them: not while its barrier is open or its
-- callback is still to be delivered. The lock keeps both from changing meanwhile. The barrier stays as a tombstone, which
-- records that its batches are gone.
--
-- $1  [{ namespace, execution_id, most, begun }]
--     most: how many batches one step forgets at most. A step also stops at 32 MiB of results, but forgets at least one batch.
--     So no step runs into its time-out: each page of a result takes time, and the row holds the size of the result
--     begun: the generation with which the first step began; later steps finish that generation and touch no other run
-- ->  outcome: cleared | barrier_open | callback_pending | replaced | again, state, generation, cleared, more (whether a step
--     is left)

with ask as materialized (
  select *
  from json_to_recordset($1) as ask (namespace text, execution_id text, most integer, begun integer)
  limit 1
),

barrier as materialized (
  select barrier.*
  from ask
  cross join lateral (
    select *
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    for no key update
  ) as barrier
),

-- If a call closed or replaced the barrier while this one waited for it, that call wrote batches newer than the snapshot.
judged_ask as materialized (
  select
    ask.*,
    barrier.state,
    coalesce(barrier.generation, 0) as generation,
    case
      when before.state is distinct from barrier.state or before.generation is distinct from barrier.generation then 'again'
      when ask.begun <> coalesce(barrier.generation, 0) then 'replaced'
      when barrier.state = 'open' then 'barrier_open'
      when ask.begun is null and barrier.callback_state in ('due', 'delivering') then 'callback_pending'
      else 'cleared'
    end as outcome
  from ask
  left join barrier using (namespace, execution_id)
  left join lateral (
    select barriers.state, barriers.generation
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    limit 1
  ) as before on true
),

batch_in_order as materialized (
  select batch.*, sum(batch.outcome_bytes) over (rows unbounded preceding) as bytes
  from judged_ask
  cross join lateral (
    select namespace, execution_id, generation, batch_index, outcome_bytes
    from batches
    where batches.namespace = judged_ask.namespace and batches.execution_id = judged_ask.execution_id
    order by batches.generation, batches.batch_index
    limit judged_ask.most
  ) as batch
  where judged_ask.outcome = 'cleared'
),

locked_batch as materialized (
  select batch.*
  from batch_in_order
  cross join lateral (
    select namespace, execution_id, generation, batch_index
    from batches
    where batches.namespace = batch_in_order.namespace
      and batches.execution_id = batch_in_order.execution_id
      and batches.generation = batch_in_order.generation
      and batches.batch_index = batch_in_order.batch_index
    for update
  ) as batch
  where batch_in_order.bytes <= 33554432 or batch_in_order.bytes = batch_in_order.outcome_bytes
),

deleted_batch as (
  delete from batches
  using locked_batch
  where batches.namespace = locked_batch.namespace
    and batches.execution_id = locked_batch.execution_id
    and batches.generation = locked_batch.generation
    and batches.batch_index = locked_batch.batch_index
  returning batches.batch_index
),

step_taken as materialized (
  select judged_ask.*, step.cleared, step.found = judged_ask.most or step.found > step.taken as more
  from judged_ask
  cross join (
    select
      (select count(*)::integer from deleted_batch), (select count(*) from batch_in_order),
      (select count(*) from locked_batch)
  ) as step (cleared, found, taken)
),

-- The first step already writes this, so that replies stay true even if the later steps never come.
emptied_barrier as (
  update barriers
  set batches_kept = false
  from step_taken
  where step_taken.outcome = 'cleared'
    and barriers.batches_kept
    and barriers.namespace = step_taken.namespace
    and barriers.execution_id = step_taken.execution_id
)

select outcome, state, generation, cleared, more
from step_taken
