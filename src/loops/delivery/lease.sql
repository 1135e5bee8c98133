-- The delivery loop: leases callbacks that are due, for as many slots as are free, in all and for each host.
--
-- A callback is leased by one replica at a time, with a new token. One whose lease has ended was an attempt of unknown outcome;
-- after the last attempt it is dead. The message is built here, from committed rows, when it is first needed: the
-- closing is in the snapshot, and so is every batch that it counted.
--
-- $1  [{ most, passed_over, build_bytes, host_slots, in_flight: { host: count }, lease_seconds, attempts, nonce, inline_bytes,
--        public_url }], one object
--     passed_over: how many candidates from the first on are left alone, because their messages could not be built
-- ->  namespace, execution_id, generation, callback_id, state: delivering | dead, token, attempt, nth (since it was
--     made due), url, host, message

with recursive ask as materialized (
  select *
  from json_to_recordset($1) as ask (
    most integer, passed_over integer, build_bytes bigint, host_slots integer, in_flight json, lease_seconds integer,
    attempts integer, nonce text, inline_bytes bigint, public_url text
  )
  limit 1
),

-- Every host that has something to be delivered, now or later: one step through the index for each, however much each has.
host (name) as (
  (
    select callback_host
    from barriers
    where callback_state in ('due', 'delivering') and callback_host is not null
    order by callback_host
    limit 1
  )
  union all
  select (
    select callback_host
    from barriers
    where callback_state in ('due', 'delivering') and callback_host is not null and callback_host > host.name
    order by callback_host
    limit 1
  )
  from host
  where host.name is not null
),

-- Of each host no more than it has slots. Hosts take turns: first those with the fewest attempts under way, then by age. So
-- hosts that are slow and have much keep nobody else waiting.
candidate as materialized (
  select waiting.namespace, waiting.execution_id, waiting.generation
  from host
  cross join ask
  cross join lateral (
    select coalesce((ask.in_flight ->> host.name)::integer, 0)
  ) as under_way (count)
  cross join lateral (
    select namespace, execution_id, generation, callback_due_at,
      under_way.count + row_number() over (order by callback_due_at) as turn
    from (
      select *
      from barriers
      where callback_state in ('due', 'delivering')
        and callback_host is not null
        and callback_host = host.name
        and callback_due_at <= now()
      order by callback_due_at
      limit greatest(0, ask.host_slots - under_way.count)
    ) as due
  ) as waiting
  order by waiting.turn, waiting.callback_due_at
  offset (select passed_over from ask)
  limit (select most from ask)
),

-- Of this generation still: the batches of a newer one are not in the snapshot.
due as materialized (
  select barrier.*
  from (select * from candidate order by namespace, execution_id) as candidate
  cross join ask
  cross join lateral (
    select *, callback_message_bytes(barriers, ask.inline_bytes) as bytes
    from barriers
    where barriers.namespace = candidate.namespace
      and barriers.execution_id = candidate.execution_id
      and barriers.generation = candidate.generation
      and barriers.callback_state in ('due', 'delivering')
      and barriers.callback_due_at <= now()
    for no key update skip locked
  ) as barrier
),

-- As many as one statement should build; the first one always.
verdict as materialized (
  select
    sized.namespace,
    sized.execution_id,
    sized.callback_state = 'delivering' as lease_ended,
    sized.callback_state = 'delivering'
      and sized.callback_attempt - sized.callback_attempts_before >= ask.attempts as given_up
  from (
    select due.*, sum(due.bytes) over (order by due.callback_due_at, due.execution_id) as bytes_until
    from due
  ) as sized
  cross join ask
  where sized.bytes_until <= greatest(ask.build_bytes, sized.bytes)
),

leased as (
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
  from verdict
  cross join ask
  where barriers.namespace = verdict.namespace and barriers.execution_id = verdict.execution_id
  returning barriers.*
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
  callback_host as host,
  callback_message as message
from leased
