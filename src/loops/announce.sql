-- Tells every replica that barriers closed or were replaced. In a transaction of its own: NOTIFY in the one that closes
-- would put all commits of the database behind one lock.
--
-- $1  [{ namespace, execution_id }]
-- ->  outcome: announced, one row per ask

select 'announced' as outcome, pg_notify('rollcall_closings', ask::text) is null as sent
from json_array_elements($1) as ask
