-- The delivery loop: writes down how an attempt ended, if generation and lease are still those of the attempt. If the callback
-- was replaced, redelivered or leased anew meanwhile, the outcome is dropped.
--
-- $1  [{ namespace, execution_id, generation, token, state: delivered | due | dead, wait_seconds, attempt: { outcome, status,
--        error, milliseconds, response } }]
--     wait_seconds: with `due`, until the next attempt
-- ->  outcome: settled | lost, one row per ask, in order

with ask as materialized (
  select *
  from rows from (
    json_to_recordset($1) as (
      namespace text, execution_id text, generation integer, token text, state text, wait_seconds double precision,
      attempt jsonb
    )
  ) with ordinality as ask (
    namespace, execution_id, generation, token, state, wait_seconds, attempt, ord
  )
),

locked_barrier as materialized (
  select ask.ord, barrier.callback_state
  from (select * from ask order by namespace, execution_id) as ask
  cross join lateral (
    select callback_state
    from barriers
    where barriers.namespace = ask.namespace
      and barriers.execution_id = ask.execution_id
      and barriers.generation = ask.generation
      and barriers.callback_token = ask.token
    for no key update
  ) as barrier
),

settled_barrier as (
  update barriers
  set
    callback_state = ask.state,
    callback_due_at = case when ask.state = 'due' then clock_timestamp() + make_interval(secs => ask.wait_seconds) end,
    callback_settled_at = case when ask.state <> 'due' then clock_timestamp() end,
    callback_attempts = callback_attempts_with(barriers, ask.attempt)
  from locked_barrier
  join ask using (ord)
  where locked_barrier.callback_state = 'delivering'
    and barriers.namespace = ask.namespace
    and barriers.execution_id = ask.execution_id
  returning ask.ord
)

-- A repeat after a lost connection finds the state that it wrote.
select
  case when settled_barrier.ord is not null or locked_barrier.callback_state = ask.state then 'settled' else 'lost' end as outcome
from ask
left join locked_barrier using (ord)
left join settled_barrier using (ord)
order by ask.ord
