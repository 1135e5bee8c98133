-- The delivery loop: leases callbacks that are due, for as many slots as are free, in all and for each host.
--
-- A callback is leased by one replica at a time, with a new token. One whose lease has ended was an attempt of unknown outcome;
-- after the last attempt it is dead. The message is built here, from committed rows, when it is first needed: the
-- closing is in the snapshot, and so is every batch that it counted.
--
-- $1  [{ most, host_slots, in_flight: { host: count }, lease_seconds, attempts, nonce, inline_bytes, public_url }]
-- ->  namespace, execution_id, generation, callback_id, state: delivering | dead, token, attempt (since it was made due),
--     url, host, message

with recursive ask as materialized (
  select *
  from json_to_recordset($1) as ask (
    most integer, host_slots integer, in_flight json, lease_seconds integer, attempts integer, nonce text,
    inline_bytes bigint, public_url text
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

-- The longest due of all hosts, and of each no more than it has slots: a slow host keeps nobody else waiting.
candidate as materialized (
  select waiting.namespace, waiting.execution_id, waiting.generation
  from host
  cross join ask
  cross join lateral (
    select namespace, execution_id, generation, callback_due_at
    from barriers
    where callback_state in ('due', 'delivering')
      and callback_host is not null
      and callback_host = host.name
      and callback_due_at <= now()
    order by callback_due_at
    limit greatest(0, ask.host_slots - coalesce((ask.in_flight ->> host.name)::integer, 0))
  ) as waiting
  order by waiting.callback_due_at
  limit (select most from ask)
),

-- Of this generation still: the batches of a newer one are not in the snapshot.
due as materialized (
  select barrier.*
  from (select * from candidate order by namespace, execution_id) as candidate
  cross join lateral (
    select *
    from barriers
    where barriers.namespace = candidate.namespace
      and barriers.execution_id = candidate.execution_id
      and barriers.generation = candidate.generation
      and barriers.callback_state in ('due', 'delivering')
      and barriers.callback_due_at <= now()
    for no key update skip locked
  ) as barrier
),

verdict as materialized (
  select
    due.namespace,
    due.execution_id,
    due.callback_state = 'delivering' as lease_ended,
    due.callback_state = 'delivering' and due.callback_attempt - due.callback_attempts_before >= ask.attempts as given_up
  from due
  cross join ask
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
      when lease_ended then jsonb_path_query_array(
        callback_attempts || jsonb_build_object(
          'attempt', callback_attempt, 'started_at', rfc3339(callback_leased_at), 'outcome', 'unknown', 'status', null,
          'error', 'lease_ended', 'milliseconds', null, 'response', null
        ),
        '$[last - 19 to last]'
      )
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
  callback_attempt - callback_attempts_before as attempt,
  callback ->> 'url' as url,
  callback_host as host,
  callback_message as message
from leased
