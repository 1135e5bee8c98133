-- POST /executions/:execution_id/batches/:batch_index/claim
-- POST /executions/:execution_id/batches/claim
--
-- Any number of calls may claim one batch at the same time, when it is new or when its lease has ended: exactly one is granted.
-- A claim that is not granted writes nothing. No claim waits for a barrier row; its snapshot decides its place in the order.
--
-- $1  [{ namespace, execution_id, batch_index, generation, nonce, claim_key, owner, lease_seconds, inline_bytes }]
--     nonce: the random part of the token that a grant gives to this ask; a row with this nonce is the ask's own
--     inline_bytes: the longest result that the reply carries
-- ->  outcome: granted | in_progress | finished | closed | exhausted | batch_out_of_range | execution_not_found,
--     retry_after_seconds, reply
--
-- The stages:
--   ask, barrier     the asks, and the barrier of each execution that they name, looked up once for all of them
--   seen_ask         each ask with its barrier and its batch, as one snapshot has them; a refusal needs no write
--   free_batch       the batches that look free in the snapshot, with the first ask for each
--   written_batch    the upsert of the free batches, judged on the newest version of each row
--   idle_barrier, locked_barrier, touched_barrier
--                    a grant is progress of its barrier
--   batch_after      each ask with its batch as it is now
--   answer           what that means for the ask

with ask as materialized (
  select *
  from rows from (
    json_to_recordset($1) as (
      namespace text, execution_id text, batch_index integer, generation integer, nonce text, claim_key text,
      owner text, lease_seconds integer, inline_bytes integer
    )
  ) with ordinality as ask (
    namespace, execution_id, batch_index, generation_asked, nonce, claim_key,
    owner_asked, lease_asked, inline_bytes, ord
  )
),

-- The barrier is looked up once for an execution and not for each ask: the row of a busy barrier may have thousands of dead
-- versions while a snapshot elsewhere keeps them, and each look-up steps over all of them. A lateral with `limit 1` stays a
-- look-up by key, even when the planner takes the table for an empty one.
barrier as materialized (
  select
    execution.namespace,
    execution.execution_id,
    coalesce(barrier.generation, 0) as generation,
    barrier.state as barrier_state,
    barrier.reason,
    barrier.total,
    barrier.max_attempts,
    barrier.last_progress_at,
    -- Coarse, so that claims do not queue up to write this column.
    barrier.last_progress_at + make_interval(secs => least(60, barrier.stuck_after_seconds / 8.0))
      <= clock_timestamp() as progress_is_old
  from (select distinct namespace, execution_id from ask) as execution
  left join lateral (
    select *
    from barriers
    where barriers.namespace = execution.namespace and barriers.execution_id = execution.execution_id
    limit 1
  ) as barrier on true
),

seen_ask as materialized (
  select
    ask.*,
    barrier.generation,
    barrier.barrier_state,
    barrier.reason,
    barrier.total,
    coalesce(batch.max_attempts, barrier.max_attempts) as max_attempts,
    batch.state,
    batch.attempt,
    batch.token,
    batch.claim_key as held_key,
    batch.owner,
    batch.lease_expires_at,
    batch.last_seen_at,
    batch.result,
    batch.error,
    batch.outcome_bytes,
    coalesce(barrier.barrier_state, 'open') = 'open'
      and coalesce(ask.batch_index < barrier.total, true)
      and coalesce(ask.generation_asked = barrier.generation, true)
      and (ask.generation_asked is null or barrier.barrier_state is not null)
      and (
        batch.state is null
        or (
          (batch.state = 'released' or (batch.state = 'claimed' and batch_lease_is_over(batch.lease_expires_at, batch.last_seen_at)))
          and batch.attempt < coalesce(batch.max_attempts, 2147483647)
        )
      ) as looks_free
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

free_batch as materialized (
  select distinct on (namespace, execution_id, generation, batch_index) *
  from seen_ask
  where looks_free
  order by namespace, execution_id, generation, batch_index, ord
),

-- The rows are sorted, so that two runs cannot deadlock. The update has no WHERE, so that `returning` always shows the newest
-- version. One verdict serves all columns (`offset 0` keeps it single), so that the clock cannot give two answers.
written_batch as (
  insert into batches as batch (
    namespace, execution_id, generation, batch_index, state, attempt, max_attempts,
    token, claim_key, owner, lease_seconds, claimed_at, lease_expires_at
  )
  select
    namespace, execution_id, generation, batch_index, 'claimed', 1, max_attempts,
    generation || '.1.' || nonce, claim_key, owner_asked, lease_asked,
    clock_timestamp(), clock_timestamp() + make_interval(secs => lease_asked)
  from free_batch
  order by namespace, execution_id, generation, batch_index
  on conflict (namespace, execution_id, generation, batch_index) do update
  set (
    state, attempt, token, claim_key, owner, lease_seconds, claimed_at, lease_expires_at, last_seen_at
  ) = (
    select
      case when free then 'claimed' else batch.state end,
      case when free then batch.attempt + 1 else batch.attempt end,
      case when free then concat_ws('.', batch.generation, batch.attempt + 1, split_part(excluded.token, '.', 3))
        else batch.token end,
      case when free then excluded.claim_key else batch.claim_key end,
      case when free then excluded.owner else batch.owner end,
      case when free then excluded.lease_seconds else batch.lease_seconds end,
      case when free then moment else batch.claimed_at end,
      case when free then moment + make_interval(secs => excluded.lease_seconds) else batch.lease_expires_at end,
      case when free then moment else batch.last_seen_at end
    from (
      select
        clock_timestamp() as moment,
        batch.attempt < coalesce(batch.max_attempts, 2147483647)
          and (
            batch.state = 'released'
            or (batch.state = 'claimed' and batch_lease_is_over(batch.lease_expires_at, batch.last_seen_at))
          ) as free
      offset 0
    ) as verdict
  )
  returning
    namespace, execution_id, generation, batch_index, state, attempt, token, claim_key, owner, lease_expires_at,
    last_seen_at, result, error, outcome_bytes
),

-- A grant is progress of its barrier, and so is the grant of another run that came between. The progress is written after the
-- batches and only where nobody else has the row locked: a claim that waited for a barrier here, with its batches locked,
-- would deadlock with decrements. Of several runs that see the same progress, one moves it.
-- (`closed_at is null`, not `state = 'open'`: the look-up of a row by its key must not fit the indexes of open barriers.)
idle_barrier as materialized (
  select namespace, execution_id, generation, last_progress_at
  from barrier
  where progress_is_old and (namespace, execution_id) in (select namespace, execution_id from written_batch)
),

locked_barrier as materialized (
  select barrier.*
  from idle_barrier
  cross join lateral (
    select namespace, execution_id
    from barriers
    where barriers.namespace = idle_barrier.namespace
      and barriers.execution_id = idle_barrier.execution_id
      and barriers.generation = idle_barrier.generation
      and barriers.closed_at is null
      and barriers.last_progress_at = idle_barrier.last_progress_at
    for no key update skip locked
  ) as barrier
),

touched_barrier as (
  update barriers
  set last_progress_at = clock_timestamp()
  from locked_barrier
  where barriers.namespace = locked_barrier.namespace and barriers.execution_id = locked_barrier.execution_id
),

batch_after as (
  select
    seen_ask.ord,
    seen_ask.batch_index,
    seen_ask.generation,
    seen_ask.generation_asked,
    seen_ask.total,
    seen_ask.barrier_state,
    seen_ask.reason,
    seen_ask.max_attempts,
    seen_ask.inline_bytes,
    coalesce(written.state, seen_ask.state) as state,
    coalesce(written.attempt, seen_ask.attempt) as attempt,
    coalesce(written.token, seen_ask.token) as token,
    case when written.state is null then seen_ask.owner else written.owner end as owner,
    lease.ends as lease_expires_at,
    case when written.state is null then seen_ask.result else written.result end as result,
    case when written.state is null then seen_ask.error else written.error end as error,
    coalesce(written.outcome_bytes, seen_ask.outcome_bytes) as outcome_bytes,
    split_part(coalesce(written.token, seen_ask.token), '.', 3) = seen_ask.nonce as mine,
    seen_ask.claim_key = case when written.state is null then seen_ask.held_key else written.claim_key end as by_my_key,
    lease.begins,
    batch_lease_is_over(lease.ends, lease.begins) as lease_is_over
  from seen_ask
  left join written_batch as written using (namespace, execution_id, generation, batch_index)
  cross join lateral (
    select
      case when written.state is null then seen_ask.last_seen_at else written.last_seen_at end,
      case when written.state is null then seen_ask.lease_expires_at else written.lease_expires_at end
  ) as lease (begins, ends)
),

-- The cases are judged in this order: an earlier one wins.
answer as (
  select
    batch_after.*,
    case
      when batch_index >= total then 'batch_out_of_range'
      when generation_asked > generation or (generation_asked is not null and barrier_state is null)
        then 'execution_not_found'
      when generation_asked < generation then 'closed'
      when state in ('succeeded', 'failed') then 'finished'
      when barrier_state <> 'open' then 'closed'
      when state = 'claimed' and (mine or by_my_key) and not lease_is_over then 'granted'
      when attempt >= max_attempts and (state = 'released' or lease_is_over) then 'exhausted'
      else 'in_progress'
    end as outcome,
    case
      when lease_expires_at is not null
        -- It is never longer than the lease, even after somebody set the clock back.
        then greatest(1, ceil(extract(epoch from lease_expires_at - greatest(begins, clock_timestamp()))))::integer
    end as lease_remaining_seconds
  from batch_after
)

select
  outcome,
  case when outcome = 'in_progress' then lease_remaining_seconds end as retry_after_seconds,
  case
    when outcome = 'granted' and mine then (
      select to_json(reply)
      from (
        select outcome, true as claimed, false as settled, batch_index, generation, attempt, token,
          rfc3339(lease_expires_at) as lease_expires_at
      ) as reply
    )
    when outcome = 'granted' then (
      select to_json(reply)
      from (
        select outcome, true as claimed, false as settled, batch_index, generation, attempt, token,
          rfc3339(lease_expires_at) as lease_expires_at, true as replayed
      ) as reply
    )
    when outcome = 'in_progress' and lease_expires_at is null then (
      select to_json(reply)
      from (
        select outcome, false as claimed, false as settled, batch_index, generation, attempt, owner,
          null as lease_expires_at
      ) as reply
    )
    when outcome = 'in_progress' then (
      select to_json(reply)
      from (
        select outcome, false as claimed, false as settled, batch_index, generation, attempt, owner,
          rfc3339(lease_expires_at) as lease_expires_at, lease_remaining_seconds as retry_after_seconds
      ) as reply
    )
    when outcome = 'finished' and state = 'failed' then (
      select to_json(reply)
      from (
        select outcome, false as claimed, true as settled, batch_index, generation, state as status, error
      ) as reply
    )
    when outcome = 'finished' and outcome_bytes > inline_bytes then (
      select to_json(reply)
      from (
        select outcome, false as claimed, true as settled, batch_index, generation, state as status,
          true as result_omitted
      ) as reply
    )
    when outcome = 'finished' then (
      select to_json(reply)
      from (
        select outcome, false as claimed, true as settled, batch_index, generation, state as status, result
      ) as reply
    )
    when outcome = 'closed' then (
      select to_json(reply)
      from (
        select outcome, false as claimed, true as settled, batch_index, generation,
          case when generation_asked < generation then 'replaced' else barrier_state end as state,
          case when generation_asked is null or generation_asked = generation then reason end as reason
      ) as reply
    )
    when outcome = 'exhausted' then (
      select to_json(reply)
      from (
        select outcome, false as claimed, true as settled, batch_index, generation, attempt
      ) as reply
    )
    else (
      select to_json(reply)
      from (
        select batch_index, total, generation
      ) as reply
    )
  end as reply
from answer
order by ord
