-- Tells every replica that barriers closed or were replaced, or that their callbacks are due again, and in which queue one is
-- due now. In a transaction of its own: NOTIFY in the one that closes would put all commits of the database behind one lock.
--
-- $1  [{ namespace, execution_id }]
-- ->  outcome: announced, queue (null: nothing is due in one), one row per ask, in order

with ask as materialized (
  select *
  from rows from (
    json_to_recordset($1) as (namespace text, execution_id text)
  ) with ordinality as ask (namespace, execution_id, ord)
),

hint as materialized (
  select ask.ord, ask.namespace, ask.execution_id, due.queue
  from ask
  left join lateral (
    select barriers.callback_queue as queue
    from barriers
    where barriers.namespace = ask.namespace
      and barriers.execution_id = ask.execution_id
      and barriers.callback_state = 'due'
      and barriers.callback_due_at <= clock_timestamp()
    limit 1
  ) as due on true
)

select
  'announced' as outcome,
  queue,
  pg_notify(
    'rollcall_closings',
    json_strip_nulls((select to_json(told) from (select namespace, execution_id, queue) as told))::text
  ) is null as sent
from hint
order by ord
