-- POST /callbacks/claim
--
-- Leases callbacks of a queue: those that are due, and those whose lease is over, highest priority first, then longest due.
-- The message is built from committed rows at the first lease, and never again. A repeat could find its own leases only by
-- reading all leases of the queue, so this statement is not sent again after a lost connection: callbacks that it had leased
-- are due again when their leases end.
--
-- It costs ten look-ups in the index of unsettled callbacks, one for each priority, and a write for each callback taken.
--
-- $1  [{ namespace, queue, most, lease_seconds, inline_bytes, public_url, reply_bytes }], one object
-- ->  callbacks, taken (how many), more (whether others may be due)

with ask as materialized (
  select *
  from json_to_recordset($1) as ask (
    namespace text, queue text, most integer, lease_seconds integer, inline_bytes bigint, public_url text,
    reply_bytes bigint
  )
  limit 1
),

-- A lateral join is a nested loop: it reads the priorities in this order, each by age, and stops at the limit. So nothing is
-- sorted, and no row beyond the limit is locked. A row that is already locked belongs to another caller.
locked_barrier as materialized (
  select due.*, row_number() over () as position
  from ask
  cross join lateral (
    select due.*
    from generate_series(10, 1, -1) as priority
    cross join lateral (
      select
        barriers.namespace,
        barriers.execution_id,
        barriers.generation,
        callback_message_bytes(barriers, ask.inline_bytes) as bytes
      from barriers
      where barriers.namespace || '' = ask.namespace
        and barriers.callback_queue = ask.queue
        and barriers.callback_priority = priority
        and barriers.callback_state in ('due', 'delivering')
        -- This is not clock_timestamp(), because that cannot be an index condition.
        and barriers.callback_due_at <= now()
      order by barriers.callback_due_at
      limit ask.most
      for no key update skip locked
    ) as due
    limit ask.most
  ) as due
),

-- The lock returned the newest version. If that has a later generation than the snapshot, its batches are not in the snapshot
-- either, and its message would be wrong for ever. The first callback is taken however large it is.
chosen_barrier as materialized (
  select sized.*
  from (
    select locked_barrier.*, sum(locked_barrier.bytes) over (order by locked_barrier.position) as bytes_until
    from locked_barrier
    cross join lateral (
      select barriers.generation
      from barriers
      where barriers.namespace = locked_barrier.namespace and barriers.execution_id = locked_barrier.execution_id
      limit 1
    ) as seen
    where seen.generation = locked_barrier.generation
  ) as sized
  cross join ask
  where sized.bytes_until <= greatest(ask.reply_bytes, sized.bytes)
),

leased_barrier as (
  update barriers
  set
    callback_state = 'delivering',
    callback_attempt = barriers.callback_attempt + 1,
    callback_token = format(
      '%s.%s.%s', barriers.generation, barriers.callback_attempt + 1, replace(gen_random_uuid()::text, '-', '')
    ),
    callback_leased_at = clock_timestamp(),
    callback_due_at = clock_timestamp() + make_interval(secs => ask.lease_seconds),
    callback_attempts = case
      when barriers.callback_state = 'due' then barriers.callback_attempts
      else callback_attempts_with_lost(barriers)
    end,
    callback_message = coalesce(
      barriers.callback_message, callback_message(barriers, ask.inline_bytes, ask.public_url)
    )
  from chosen_barrier
  cross join ask
  where barriers.namespace = chosen_barrier.namespace and barriers.execution_id = chosen_barrier.execution_id
  returning barriers.*, chosen_barrier.position
)

select
  (
    select coalesce(
      json_agg(
        (
          select to_json(reply)
          from (
            select execution_id, generation, callback_id, callback_token as token, callback_attempt as attempt,
              rfc3339(callback_due_at) as lease_expires_at, callback_message as message
          ) as reply
        )
        order by position
      ),
      '[]'
    )
    from leased_barrier
  ) as callbacks,
  (select count(*) from chosen_barrier) as taken,
  (select count(*) from locked_barrier) > (select count(*) from chosen_barrier)
    or (select count(*) from locked_barrier) = ask.most as more
from ask
