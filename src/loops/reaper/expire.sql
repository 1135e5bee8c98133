-- A step of the reaper: closes as expired the barriers that are open past their expires_at. Until then an overdue barrier still
-- counts. This step and the last decrement may race: the one that locks the row first decides how it ends.
--
-- $1  how many barriers at most, $2  how many of the first to pass over, because they failed alone: see sweep.ts
-- ->  one row for each barrier closed: namespace, execution_id, generation, state, reason, callback_id

-- The lock returns the newest version of a row, and the conditions are judged again on it. A barrier that somebody else has
-- locked is passed over: it may be completing. Materialized, so that the limit is kept whatever the plan.
with barrier as materialized (
  select namespace, execution_id, replace(gen_random_uuid()::text, '-', '') as nonce
  from barriers
  where state = 'open' and expires_at <= now()
  order by expires_at
  limit $1
  offset $2
  for no key update skip locked
)

update barriers
set
  state = 'expired',
  reason = format(
    'Expired: %s of %s batches %s not recorded in time.',
    total - succeeded - failed, total, case when total - succeeded - failed = 1 then 'was' else 'were' end
  ),
  closing_nonce = barrier.nonce,
  (closed_at, callback_state, callback_id, callback_due_at) = (
    select * from closing(callback_events, 'expired', barrier.nonce)
  )
from barrier
where barriers.namespace = barrier.namespace and barriers.execution_id = barrier.execution_id
returning barriers.namespace, barriers.execution_id, generation, state, reason, callback_id
