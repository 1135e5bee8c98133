-- POST /executions/:execution_id/batches/:batch_index/claim
-- POST /executions/:execution_id/batches/claim
--
-- Of any number of calls for one batch, at birth or at the end of a lease, exactly one is granted. A claim that is not
-- granted writes nothing, and no claim waits for a barrier row: it is ordered at its snapshot.
--
-- $1  [{ namespace, execution_id, batch_index, generation, nonce, claim_key, owner, lease_seconds, inline_bytes }]
--     nonce: the random part of the token that this ask gets if it is granted; a row that bears it is the ask's own
--     inline_bytes: the longest result that the reply carries
-- ->  outcome: granted | in_progress | finished | closed | exhausted | batch_out_of_range | execution_not_found,
--     retry_after_seconds, reply

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

-- One snapshot of barrier and batch. What it refuses is refused without a write. Each lateral reads one row by its key:
-- `limit 1` keeps it a look-up, whatever the planner believes about an empty table.
seen as materialized (
  select
    ask.*,
    coalesce(barrier.generation, 0) as generation,
    barrier.state as barrier_state,
    barrier.reason,
    barrier.total,
    barrier.last_progress_at,
    -- Coarse, so that claims do not queue up behind each other for it.
    barrier.last_progress_at + make_interval(secs => least(60, barrier.stuck_after_seconds / 8.0))
      <= clock_timestamp() as progress_is_old,
    coalesce(batch.max_attempts, barrier.max_attempts) as max_attempts,
    batch.state,
    batch.attempt,
    batch.token,
    batch.claim_key as held_key,
    batch.owner,
    batch.lease_expires_at,
    batch.result,
    batch.error,
    batch.outcome_bytes,
    coalesce(barrier.state, 'open') = 'open'
      and coalesce(ask.batch_index < barrier.total, true)
      and coalesce(ask.generation_asked = coalesce(barrier.generation, 0), true)
      and (ask.generation_asked is null or barrier.generation is not null)
      and (
        batch.state is null
        or (
          (batch.state = 'released' or (batch.state = 'claimed' and batch.lease_expires_at <= clock_timestamp()))
          and batch.attempt < coalesce(batch.max_attempts, 2147483647)
        )
      ) as looks_free
  from ask
  left join lateral (
    select *
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    limit 1
  ) as barrier on true
  left join lateral (
    select *
    from batches
    where batches.namespace = ask.namespace
      and batches.execution_id = ask.execution_id
      and batches.generation = coalesce(barrier.generation, 0)
      and batches.batch_index = ask.batch_index
    limit 1
  ) as batch on true
),

candidate as materialized (
  select distinct on (namespace, execution_id, generation, batch_index) *
  from seen
  where looks_free
  order by namespace, execution_id, generation, batch_index, ord
),

-- Sorted, so that two runs cannot deadlock. No WHERE on the update, so that `returning` always shows the newest version;
-- one verdict for all columns (`offset 0` keeps it single), so that the clock cannot answer two ways.
written as (
  insert into batches as batch (
    namespace, execution_id, generation, batch_index, state, attempt, max_attempts,
    token, claim_key, owner, lease_seconds, claimed_at, lease_expires_at
  )
  select
    namespace, execution_id, generation, batch_index, 'claimed', 1, max_attempts,
    generation || '.1.' || nonce, claim_key, owner_asked, lease_asked,
    clock_timestamp(), clock_timestamp() + make_interval(secs => lease_asked)
  from candidate
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
            or (batch.state = 'claimed' and batch.lease_expires_at <= clock_timestamp())
          ) as free
      offset 0
    ) as verdict
  )
  returning
    namespace, execution_id, generation, batch_index, state, attempt, token, claim_key, owner, lease_expires_at,
    result, error, outcome_bytes
),

-- A grant is progress of its barrier, written after the batches and only where nobody else has the row locked: a claim that
-- waited for a barrier here, with its batches locked, would deadlock with decrements. The same progress is moved once.
-- (Open is told by closed_at: the look-up of a row by its key must not fit the indexes of open barriers.)
progressed as materialized (
  select distinct seen.namespace, seen.execution_id, seen.generation, seen.last_progress_at
  from seen
  join written using (namespace, execution_id, generation, batch_index)
  where seen.progress_is_old and split_part(written.token, '.', 3) = seen.nonce
),

progressing as materialized (
  select barrier.*
  from progressed
  cross join lateral (
    select namespace, execution_id
    from barriers
    where barriers.namespace = progressed.namespace
      and barriers.execution_id = progressed.execution_id
      and barriers.generation = progressed.generation
      and barriers.closed_at is null
      and barriers.last_progress_at = progressed.last_progress_at
    for no key update skip locked
  ) as barrier
),

moved as (
  update barriers
  set last_progress_at = clock_timestamp()
  from progressing
  where barriers.namespace = progressing.namespace and barriers.execution_id = progressing.execution_id
),

newest as (
  select
    seen.ord,
    seen.batch_index,
    seen.generation,
    seen.generation_asked,
    seen.total,
    seen.barrier_state,
    seen.reason,
    seen.max_attempts,
    seen.inline_bytes,
    coalesce(written.state, seen.state) as state,
    coalesce(written.attempt, seen.attempt) as attempt,
    coalesce(written.token, seen.token) as token,
    case when written.state is null then seen.owner else written.owner end as owner,
    lease.ends as lease_expires_at,
    case when written.state is null then seen.result else written.result end as result,
    case when written.state is null then seen.error else written.error end as error,
    coalesce(written.outcome_bytes, seen.outcome_bytes) as outcome_bytes,
    split_part(coalesce(written.token, seen.token), '.', 3) = seen.nonce as mine,
    seen.claim_key = case when written.state is null then seen.held_key else written.claim_key end as by_my_key,
    lease.ends <= clock_timestamp() as lease_is_over
  from seen
  left join written using (namespace, execution_id, generation, batch_index)
  cross join lateral (
    select case when written.state is null then seen.lease_expires_at else written.lease_expires_at end
  ) as lease (ends)
),

-- The rows of the table of claims, in its order.
decided as (
  select
    newest.*,
    case
      when batch_index >= total then 'batch_out_of_range'
      when generation_asked > generation or (generation_asked is not null and barrier_state is null)
        then 'execution_not_found'
      when generation_asked < generation then 'closed'
      when state in ('succeeded', 'failed') then 'finished'
      when barrier_state <> 'open' then 'closed'
      when state = 'claimed' and (mine or by_my_key) and not coalesce(lease_is_over, false) then 'granted'
      when attempt >= max_attempts and (state = 'released' or lease_is_over) then 'exhausted'
      else 'in_progress'
    end as outcome,
    case
      when lease_expires_at is not null
        then greatest(1, ceil(extract(epoch from lease_expires_at - clock_timestamp())))::integer
    end as lease_remaining_seconds
  from newest
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
from decided
order by ord
