-- POST /callbacks/claim
--
-- Leases callbacks of a queue to whoever pulls: the highest priority first, then the longest due. Of any number of pullers
-- one gets each. A lease that has ended was an attempt of unknown outcome; the callback is leased again, with a new token.
--
-- $1  [{ namespace, queue, most, lease_seconds, nonce, reply_bytes, inline_bytes, public_url }]
-- ->  one row per lease: execution_id, generation, callback_id, token, attempt, lease_expires_at, message

with ask as materialized (
  select *
  from json_to_recordset($1) as ask (
    namespace text, queue text, most integer, lease_seconds integer, nonce text, reply_bytes bigint,
    inline_bytes bigint, public_url text
  )
  limit 1
),

-- One range of the index for each priority, read no further than the limit.
candidate as materialized (
  select waiting.*, row_number() over () as position
  from ask
  cross join generate_series(10, 1, -1) as priority
  cross join lateral (
    select namespace, execution_id, generation
    from barriers
    where barriers.namespace || '' = ask.namespace
      and callback_queue = ask.queue
      and callback_queue is not null
      and callback_priority = priority
      and callback_state in ('due', 'delivering')
      and callback_due_at <= now()
    order by callback_due_at
    limit ask.most
  ) as waiting
  limit (select most from ask)
),

-- Of this generation still: the batches of a newer one are not in the snapshot. In key order, as everywhere.
due as materialized (
  select candidate.position, barrier.*
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

-- The first one always, and then as many as fit into the reply.
fitting as (
  select sized.namespace, sized.execution_id, sized.callback_state = 'delivering' as lease_ended, sized.position
  from (
    select
      due.namespace,
      due.execution_id,
      due.callback_state,
      due.position,
      sum(size.bytes) over (order by due.position) as bytes_so_far,
      row_number() over (order by due.position) as place
    from due
    cross join ask
    cross join lateral (
      select coalesce(
        octet_length(due.callback_message::text)::bigint,
        octet_length(due.callback::text) + coalesce(octet_length(due.metadata::text), 0)
          + case
            when due.result_bytes + 64 * (due.succeeded + due.failed)::bigint <= ask.inline_bytes
              then due.result_bytes + 64 * (due.succeeded + due.failed)::bigint
            else 0
          end
      )
    ) as size (bytes)
  ) as sized
  cross join ask
  where sized.place = 1 or sized.bytes_so_far <= ask.reply_bytes
),

leased as (
  update barriers
  set
    callback_state = 'delivering',
    callback_due_at = clock_timestamp() + make_interval(secs => ask.lease_seconds),
    callback_leased_at = clock_timestamp(),
    callback_attempt = callback_attempt + 1,
    callback_token = concat_ws('.', generation, callback_attempt + 1, ask.nonce),
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
  from fitting
  cross join ask
  where barriers.namespace = fitting.namespace and barriers.execution_id = fitting.execution_id
  returning barriers.*, fitting.position
)

select
  execution_id,
  generation,
  callback_id,
  callback_token as token,
  callback_attempt as attempt,
  rfc3339(callback_due_at) as lease_expires_at,
  callback_message as message
from leased
order by position
