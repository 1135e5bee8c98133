-- The delivery loop: finds due callbacks, receiver by receiver, for the loop to choose from. It locks and writes nothing.
--
-- The walk makes one step through the index for each receiver that has callbacks to be delivered, now or later, however many
-- it has: so a receiver with many callbacks hides no other. The walk is bounded; the next one goes on behind it.
--
-- $1  [{ after_host, after_receiver, most_receivers, most_each, slow_ms, set_aside: [{ namespace, execution_id, generation }] }],
--     one object
--     after_host, after_receiver: the last receiver of the walk before; absent for a first walk
--     set_aside: callbacks that the loop leaves alone for now, because they could not be leased
-- ->  namespace, execution_id, generation, host, receiver, due_ms (since 1970), pace: slow | hung, one row for each due
--     callback; and if the walk did not come to the end, a row for its last receiver: after_host, after_receiver

with recursive ask as materialized (
  select *
  from json_to_recordset($1) as ask (
    after_host text, after_receiver text, most_receivers integer, most_each integer, slow_ms integer, set_aside json
  )
  limit 1
),

walk (host, receiver, step) as (
  (
    select barriers.callback_host, callback_receiver(barriers.callback), 1
    from barriers
    where callback_state in ('due', 'delivering')
      and callback_host is not null
      and (callback_host, callback_receiver(callback)) > (
        select coalesce(ask.after_host, ''), decode(coalesce(ask.after_receiver, ''), 'hex') from ask
      )
    order by callback_host, callback_receiver(callback)
    limit 1
  )
  union all
  select following.host, following.receiver, walk.step + 1
  from walk
  cross join lateral (
    select barriers.callback_host as host, callback_receiver(barriers.callback) as receiver
    from barriers
    where callback_state in ('due', 'delivering')
      and callback_host is not null
      and (callback_host, callback_receiver(callback)) > (walk.host, walk.receiver)
    order by callback_host, callback_receiver(callback)
    limit 1
  ) as following
  where walk.step < (select most_receivers from ask)
),

set_aside as materialized (
  select aside.*
  from ask
  cross join lateral json_to_recordset(ask.set_aside) as aside (
    namespace text, execution_id text, generation integer
  )
),

-- The pace of the newest attempt is read from the row: after a restart nothing else tells it.
due as (
  select
    waiting.namespace,
    waiting.execution_id,
    waiting.generation,
    walk.host,
    walk.receiver,
    waiting.callback_due_at,
    case
      when (waiting.newest ->> 'milliseconds')::bigint < ask.slow_ms or waiting.newest ->> 'milliseconds' is null then null
      when waiting.newest ->> 'status' is null then 'hung'
      else 'slow'
    end as pace
  from walk
  cross join ask
  cross join lateral (
    select namespace, execution_id, generation, callback_due_at, callback_attempts -> -1 as newest
    from barriers
    where callback_state in ('due', 'delivering')
      and callback_host is not null
      and callback_host = walk.host
      and callback_receiver(callback) = walk.receiver
      and callback_due_at <= now()
      and (namespace, execution_id, generation) not in (select namespace, execution_id, generation from set_aside)
    order by callback_due_at
    limit ask.most_each
  ) as waiting
)

select namespace, execution_id, generation, host, host || '/' || encode(receiver, 'hex') as receiver,
  extract(epoch from callback_due_at)::double precision * 1000 as due_ms, pace, null as after_host, null as after_receiver
from due
union all
select null, null, null, null, null, null, null, walk.host, encode(walk.receiver, 'hex')
from walk
where walk.step = (select most_receivers from ask)
