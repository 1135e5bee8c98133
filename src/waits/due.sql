-- The queues that have due callbacks, out of those where callers wait, and how many are due: no more than callers wait there.
-- One query for all waiters of a process.
--
-- $1  [{ namespace, queue, waiting }]
-- ->  namespace, queue, due, for each queue that has any

select ask.namespace, ask.queue, found.due
from json_to_recordset($1) as ask (namespace text, queue text, waiting integer)
cross join lateral (
  select count(*)::integer as due
  from (
    select
    from generate_series(10, 1, -1) as priority
    cross join lateral (
      select
      from barriers
      where barriers.namespace || '' = ask.namespace
        and barriers.callback_queue = ask.queue
        and barriers.callback_priority = priority
        and barriers.callback_state in ('due', 'delivering')
        -- Not clock_timestamp(), which cannot be an index condition.
        and barriers.callback_due_at <= now()
      limit ask.waiting
    ) as due
    limit ask.waiting
  ) as due
) as found
where found.due > 0
