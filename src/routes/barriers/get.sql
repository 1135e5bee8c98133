-- GET /executions/:execution_id/barrier
--
-- State and counts come from the one row of the barrier. With `claims` the reply also lists the current claims and their
-- owners, from the partial index on claimed rows: the answer to "why is it not done?". At most 10,000 claims are read.
--
-- $1  [{ namespace, execution_id, generation, claims }]
-- ->  outcome: found | execution_not_found | stale_generation, and the members of the reply

with ask as materialized (
  select *
  from rows from (
    json_to_recordset($1) as (namespace text, execution_id text, generation integer, claims boolean)
  ) with ordinality as ask (namespace, execution_id, generation_asked, claims_wanted, ord)
),

-- Looked up, and its moments written as text, once for an execution and not for each ask, as in claim.sql.
barrier as materialized (
  select
    asked.namespace,
    asked.execution_id,
    barrier.generation,
    barrier.state,
    barrier.reason,
    barrier.total,
    barrier.succeeded,
    barrier.failed,
    barrier.total - barrier.succeeded - barrier.failed as remaining,
    rfc3339(barrier.created_at) as created_at,
    rfc3339(barrier.last_progress_at) as last_progress_at,
    rfc3339(barrier.expires_at) as expires_at,
    rfc3339(barrier.closed_at) as closed_at,
    barrier.metadata,
    callback_state_now(barrier.callback_state, barrier.callback_due_at, barrier.callback_leased_at) as callback_state,
    barrier.batches_kept
  from (select distinct namespace, execution_id from ask) as asked
  left join lateral (
    select *
    from barriers
    where barriers.namespace = asked.namespace and barriers.execution_id = asked.execution_id
    limit 1
  ) as barrier on true
)

select
  case
    when barrier.generation is null or ask.generation_asked > barrier.generation then 'execution_not_found'
    when ask.generation_asked < barrier.generation then 'stale_generation'
    else 'found'
  end as outcome,
  execution_id,
  barrier.generation,
  barrier.state,
  coalesce(to_json(barrier.reason), 'null') as reason,
  barrier.total,
  barrier.succeeded,
  barrier.failed,
  barrier.remaining,
  barrier.created_at,
  barrier.last_progress_at,
  barrier.expires_at,
  coalesce(to_json(barrier.closed_at), 'null') as closed_at,
  coalesce(barrier.metadata, 'null') as metadata,
  (select to_json(reply) from (select barrier.callback_state as state) as reply) as callback,
  held.claimed,
  held.leases_expired,
  barrier.remaining - held.claimed as unclaimed,
  held.claimed < 10000 as claims_counted_in_full,
  held.claims
from ask
left join barrier using (namespace, execution_id)
left join lateral (
  select
    count(*)::integer as claimed,
    (count(*) filter (where batch_lease_is_over(lease_expires_at, last_seen_at)))::integer as leases_expired,
    coalesce(
      json_agg(
        (
          select to_json(reply)
          from (
            select batch_index, owner, attempt, rfc3339(claimed_at) as claimed_at,
              rfc3339(lease_expires_at) as lease_expires_at
          ) as reply
        )
        order by claimed_at
      ) filter (where turn <= 20),
      '[]'
    ) as claims
  from (
    select *, row_number() over (order by claimed_at) as turn
    from (
      select batch_index, owner, attempt, claimed_at, lease_expires_at, last_seen_at
      from batches
      where batches.namespace = ask.namespace
        and batches.execution_id = ask.execution_id
        and batches.generation = barrier.generation
        and batches.state = 'claimed'
        -- These conditions stand here too, because the ON alone would read the rows first.
        and ask.claims_wanted
        and barrier.batches_kept
      limit 10000
    ) as counted
  ) as claimed
) as held on ask.claims_wanted and barrier.batches_kept
order by ask.ord
