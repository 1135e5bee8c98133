-- The delivery loop: leases those of the callbacks it chose that are still due.
--
-- A callback is leased by one replica at a time, with a new token. A lease that has ended was an attempt of unknown outcome;
-- after the last attempt the callback is dead. The message is built here, from committed rows, when it is first needed: the
-- closing is in the snapshot, and so is every batch that it counted.
--
-- $1  [{ chosen: [{ ord, namespace, execution_id, generation, large_left }], build_bytes, large_bytes, lease_seconds,
--        attempts, nonce, inline_bytes, public_url }], one object
--     large_left: the room for messages longer than large_bytes, in bytes
-- ->  namespace, execution_id, generation, callback_id, state: delivering | dead, token, attempt, nth (since it was
--     made due), url, ord, message

with ask as materialized (
  select *
  from json_to_recordset($1) as ask (
    chosen json, build_bytes bigint, large_bytes bigint, lease_seconds integer, attempts integer, nonce text,
    inline_bytes bigint, public_url text
  )
  limit 1
),

chosen as materialized (
  select chosen.*
  from ask
  cross join lateral json_to_recordset(ask.chosen) as chosen (
    ord integer, namespace text, execution_id text, generation integer, large_left bigint
  )
  -- The limit cuts nothing off. Its estimate, a tenth, makes the planner look the rows up by their key.
  limit (select json_array_length(chosen) from ask)
),

-- Only while the generation is still the chosen one: the batches of a newer one are not in the snapshot.
due as materialized (
  select chosen.ord, chosen.large_left, barrier.*
  from (select * from chosen order by namespace, execution_id) as chosen
  cross join ask
  cross join lateral (
    select *, callback_message_bytes(barriers, ask.inline_bytes) as bytes
    from barriers
    where barriers.namespace = chosen.namespace
      and barriers.execution_id = chosen.execution_id
      and barriers.generation = chosen.generation
      and barriers.callback_state in ('due', 'delivering')
      and barriers.callback_due_at <= now()
    for no key update skip locked
  ) as barrier
),

-- As many messages as one statement should build, but always the first; large ones only while there is room left.
judged_barrier as materialized (
  select
    sized.namespace,
    sized.execution_id,
    sized.ord,
    sized.callback_state = 'delivering' as lease_ended,
    sized.callback_state = 'delivering'
      and sized.callback_attempt - sized.callback_attempts_before >= ask.attempts as given_up
  from (
    select
      due.*,
      sum(due.bytes) over (order by due.ord) as bytes_until,
      sum(case when due.bytes > ask.large_bytes then due.bytes else 0 end) over (order by due.ord) as large_until
    from due
    cross join ask
  ) as sized
  cross join ask
  where sized.bytes_until <= greatest(ask.build_bytes, sized.bytes)
    and (sized.bytes <= ask.large_bytes or sized.large_until - sized.bytes < sized.large_left)
),

leased_barrier as (
  update barriers
  set
    callback_state = case when given_up then 'dead' else 'delivering' end,
    callback_due_at = case when not given_up then clock_timestamp() + make_interval(secs => ask.lease_seconds) end,
    callback_settled_at = case when given_up then clock_timestamp() end,
    callback_leased_at = case when given_up then callback_leased_at else clock_timestamp() end,
    callback_attempt = case when given_up then callback_attempt else callback_attempt + 1 end,
    callback_token = case when given_up then callback_token else concat_ws('.', generation, callback_attempt + 1, ask.nonce) end,
    callback_message = coalesce(callback_message, callback_message(barriers, ask.inline_bytes, ask.public_url)),
    callback_attempts = case
      when lease_ended then callback_attempts_with_lost(barriers)
      else callback_attempts
    end
  from judged_barrier
  cross join ask
  where barriers.namespace = judged_barrier.namespace and barriers.execution_id = judged_barrier.execution_id
  returning barriers.*, judged_barrier.ord
)

select
  namespace,
  execution_id,
  generation,
  callback_id,
  callback_state as state,
  callback_token as token,
  callback_attempt as attempt,
  callback_attempt - callback_attempts_before as nth,
  callback ->> 'url' as url,
  ord,
  callback_message as message
from leased_barrier
