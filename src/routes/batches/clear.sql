-- DELETE /executions/:execution_id/batches
--
-- Forgets the batches of an execution, every generation of them, once nobody can need them: not while its barrier is open
-- or its callback is yet to be delivered. The lock keeps both from changing meanwhile; the barrier stays as a tombstone that
-- knows its batches are gone.
--
-- $1  [{ namespace, execution_id, most, begun }]
--     most: how many batches one step forgets at most, and no more than 32 MiB of results, or one batch, so that no step
--     runs into its time-out: each page of a result takes its time, and the row tells its size
--     begun: the generation that a step before this one began with: what was begun is finished, and no other run touched
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

-- What closed or replaced the barrier while this waited for it wrote batches that are newer than the snapshot.
verdict as materialized (
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

candidate as materialized (
  select batch.*, sum(batch.outcome_bytes) over (rows unbounded preceding) as bytes
  from verdict
  cross join lateral (
    select namespace, execution_id, generation, batch_index, outcome_bytes
    from batches
    where batches.namespace = verdict.namespace and batches.execution_id = verdict.execution_id
    order by batches.generation, batches.batch_index
    limit verdict.most
  ) as batch
  where verdict.outcome = 'cleared'
),

batch as materialized (
  select batch.*
  from candidate
  cross join lateral (
    select namespace, execution_id, generation, batch_index
    from batches
    where batches.namespace = candidate.namespace
      and batches.execution_id = candidate.execution_id
      and batches.generation = candidate.generation
      and batches.batch_index = candidate.batch_index
    for update
  ) as batch
  where candidate.bytes <= 33554432 or candidate.bytes = candidate.outcome_bytes
),

forgotten as (
  delete from batches
  using batch
  where batches.namespace = batch.namespace
    and batches.execution_id = batch.execution_id
    and batches.generation = batch.generation
    and batches.batch_index = batch.batch_index
  returning batches.batch_index
),

counted as materialized (
  select verdict.*, step.cleared, step.found = verdict.most or step.found > step.taken as more
  from verdict
  cross join (
    select
      (select count(*)::integer from forgotten), (select count(*) from candidate), (select count(*) from batch)
  ) as step (cleared, found, taken)
),

-- From the first step on, so that nobody is told less than the truth if the others never come.
freed as (
  update barriers
  set batches_kept = false
  from counted
  where counted.outcome = 'cleared'
    and barriers.batches_kept
    and barriers.namespace = counted.namespace
    and barriers.execution_id = counted.execution_id
)

select outcome, state, generation, cleared, more
from counted
