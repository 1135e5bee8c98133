-- Which of the queues that somebody waits for have callbacks that are due, and how many. One query for all waiters of a
-- process.
--
-- $1  [{ namespace, queue, waiters }]
-- ->  namespace, queue, due: at most as many as there are waiters

select ask.namespace, ask.queue, count(*)::integer as due
from json_to_recordset($1) as ask (namespace text, queue text, waiters integer)
cross join lateral (
  select
  from generate_series(10, 1, -1) as priority
  cross join lateral (
    select
    from barriers
    where barriers.namespace || '' = ask.namespace
      and callback_queue = ask.queue
      and callback_queue is not null
      and callback_priority = priority
      and callback_state in ('due', 'delivering')
      and callback_due_at <= now()
    order by callback_due_at
    limit ask.waiters
  ) as waiting
  limit ask.waiters
) as found
group by ask.namespace, ask.queue
