-- A step of the reaper: ends leases of callbacks that begin in the future, because the clock of the database was set back. They
-- would last until the clock has caught up. The holder of such a lease may still settle its callback, until it is leased anew.
--
-- $1  how many leases at most, $2  how many of the first to pass over, because they failed alone: see sweep.ts
-- ->  one row for each lease that was ended: namespace, execution_id, generation, callback_id

with ahead as materialized (
  select namespace, execution_id
  from barriers
  where callback_state = 'delivering'
    and callback_leased_at > now() + interval '5 seconds'
    and callback_due_at > now()
  order by callback_leased_at
  limit $1
  offset $2
  for no key update skip locked
)

update barriers
set callback_due_at = clock_timestamp()
from ahead
where barriers.namespace = ahead.namespace and barriers.execution_id = ahead.execution_id
returning barriers.namespace, barriers.execution_id, generation, callback_id
