-- A step of the reaper: ends the leases of callbacks that begin in the future, because the clock of the database was set back.
-- They would last for as long as it was. Whoever has such a callback may still settle it, until it is leased anew.
--
-- ->  one row for each lease that was ended, at most 100: namespace, execution_id, generation, callback_id

with ahead as materialized (
  select namespace, execution_id
  from barriers
  where callback_state = 'delivering'
    and callback_leased_at > now() + interval '5 seconds'
    and callback_due_at > now()
  order by callback_leased_at
  limit 100
  for no key update skip locked
)

update barriers
set callback_due_at = clock_timestamp()
from ahead
where barriers.namespace = ahead.namespace and barriers.execution_id = ahead.execution_id
returning barriers.namespace, barriers.execution_id, generation, callback_id
