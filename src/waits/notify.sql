-- Tells every replica that barriers closed or were replaced, or that their callbacks are due again; if one is due now, also its
-- queue, or that it is to be posted. In a transaction of its own: NOTIFY in the one that closes a barrier would put all commits
-- of the database behind one lock.
--
-- $1  [{ namespace, execution_id }]
-- ->  outcome: announced, queue and posts (null: nothing is due there), one row per ask, in order

with ask as materialized (
  select *
  from rows from (
    json_to_recordset($1) as (namespace text, execution_id text)
  ) with ordinality as ask (namespace, execution_id, ord)
),

-- Read once for an execution and not for each ask, as in claim.sql.
hint as materialized (
  select execution.namespace, execution.execution_id, due.queue, due.posts
  from (select distinct namespace, execution_id from ask) as execution
  left join lateral (
    select barriers.callback_queue as queue, case when barriers.callback_host is not null then true end as posts
    from barriers
    where barriers.namespace = execution.namespace
      and barriers.execution_id = execution.execution_id
      and barriers.callback_state = 'due'
      and barriers.callback_due_at <= clock_timestamp()
    limit 1
  ) as due on true
)

select
  'announced' as outcome,
  queue,
  posts,
  pg_notify(
    'rollcall_closings',
    json_strip_nulls((select to_json(told) from (select namespace, execution_id, queue, posts) as told))::text
  ) is null as sent
from ask
left join hint using (namespace, execution_id)
order by ord
