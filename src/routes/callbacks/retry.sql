-- POST /executions/:execution_id/callback/retry
--
-- The callback was not taken, and is due again after a delay. Only the token of its newest lease gives it back, and once.
--
-- $1  [{ namespace, execution_id, token, delay_seconds, error }]
-- ->  outcome: given_back | execution_not_found | callback_not_found | stale_generation | stale_token, generation,
--     callback_state, reply

with ask as materialized (
  select *
  from json_to_recordset($1) as ask (
    namespace text, execution_id text, token text, delay_seconds integer, error json
  )
),

barrier as materialized (
  select barrier.*
  from ask
  cross join lateral (
    select *
    from barriers
    where barriers.namespace = ask.namespace and barriers.execution_id = ask.execution_id
    for no key update
  ) as barrier
),

given_back as (
  update barriers
  set
    callback_state = 'due',
    callback_due_at = clock_timestamp() + make_interval(secs => ask.delay_seconds),
    callback_attempts = jsonb_path_query_array(
      barriers.callback_attempts || jsonb_build_object(
        'attempt', barriers.callback_attempt, 'started_at', rfc3339(barriers.callback_leased_at), 'outcome', 'failed',
        'status', null, 'error', left(ask.error #>> '{}', 1000),
        'milliseconds', (extract(epoch from clock_timestamp() - barriers.callback_leased_at) * 1000)::integer,
        'response', null
      ),
      '$[last - 19 to last]'
    )
  from ask
  join barrier using (namespace, execution_id)
  where barriers.namespace = ask.namespace
    and barriers.execution_id = ask.execution_id
    and barrier.callback_queue is not null
    and barrier.callback_token = ask.token
    and barrier.callback_state = 'delivering'
  returning barriers.*
),

newest as (
  select * from given_back
  union all
  select * from barrier where not exists (select from given_back)
)

select
  case
    when newest.generation is null then 'execution_not_found'
    when ask.token ~ '^\d{1,9}\.' and split_part(ask.token, '.', 1)::integer < newest.generation then 'stale_generation'
    when newest.callback_state = 'none' then 'callback_not_found'
    when newest.callback_queue is not null and newest.callback_token = ask.token and newest.callback_state = 'due'
      then 'given_back'
    else 'stale_token'
  end as outcome,
  newest.generation,
  newest.callback_state,
  callback_shown(newest) as reply
from ask
left join newest using (namespace, execution_id)
