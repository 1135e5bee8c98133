-- A step of the reaper: gives up callbacks in queues that nobody took for the time of retention. Such a callback is dead, and
-- may be redelivered: its message is built here, while its batches are still there.
--
-- $1  how many seconds a callback waits
-- $2  results that need more bytes are left out of the message
-- $3  the beginning of results_url
-- $4  how many callbacks at most, $5  how many of the first to pass over, because they failed alone: see sweep.ts
-- ->  one row for each callback given up: namespace, execution_id, generation, state, callback_id

-- Barriers that the snapshot already has as closed and in this generation, so that it also has all batches of the message.
with candidate as materialized (
  select namespace, execution_id, generation
  from barriers
  where callback_state in ('due', 'delivering')
    and callback_queue is not null
    and callback_due_at <= now() - make_interval(secs => $1)
  order by callback_due_at
  limit $4
  offset $5
),

barrier as materialized (
  select barrier.*
  from candidate
  cross join lateral (
    select namespace, execution_id
    from barriers
    where barriers.namespace = candidate.namespace
      and barriers.execution_id = candidate.execution_id
      and barriers.generation = candidate.generation
      and barriers.callback_state in ('due', 'delivering')
      and barriers.callback_due_at <= now() - make_interval(secs => $1)
    for no key update skip locked
  ) as barrier
)

update barriers
set
  callback_state = 'dead',
  callback_due_at = null,
  callback_settled_at = clock_timestamp(),
  callback_attempts = case
    when callback_state = 'delivering' then callback_attempts_with_lost(barriers)
    else callback_attempts
  end,
  callback_message = coalesce(callback_message, callback_message(barriers, $2, $3))
from barrier
where barriers.namespace = barrier.namespace and barriers.execution_id = barrier.execution_id
returning barriers.namespace, barriers.execution_id, generation, state, callback_id
