-- When the lease of a callback is over, and that everybody is shown it from then on.
--
-- oldest service: 3

-- A lease is over when its end has come; and when it begins in the future, because the clock of the database was set back: it
-- would last for as long as that. Five seconds are left to a clock that is put right in small steps.
create function callback_lease_is_over(state text, due_at timestamptz, leased_at timestamptz) returns boolean
language sql volatile
as $$
  select state = 'delivering' and (due_at <= clock_timestamp() or leased_at > clock_timestamp() + interval '5 seconds')
$$;

-- What everybody is shown: a lease that is over makes the callback due from that moment on, and not from the next lease on.
create function callback_state_now(state text, due_at timestamptz, leased_at timestamptz) returns text
language sql volatile
as $$ select case when callback_lease_is_over(state, due_at, leased_at) then 'due' else state end $$;

create or replace function callback_reply(barrier barriers) returns json
language sql volatile
as $$
  select to_json(reply)
  from (
    select
      barrier.execution_id,
      barrier.generation,
      barrier.callback_id,
      now_is.state,
      case when now_is.state = 'due' then
        rfc3339(
          case when barrier.callback_state = 'due' then barrier.callback_due_at
            else least(barrier.callback_due_at, clock_timestamp()) end
        )
      end as due_at,
      case when now_is.state = 'delivering' then rfc3339(barrier.callback_due_at) end as lease_expires_at,
      barrier.callback_attempt as attempt,
      rfc3339(barrier.callback_settled_at) as settled_at,
      barrier.callback,
      (
        select coalesce(json_agg(to_json(made) order by position), '[]')
        from rows from (
          jsonb_to_recordset(barrier.callback_attempts) as (
            attempt integer, started_at text, outcome text, status integer, error text, milliseconds bigint, response text
          )
        ) with ordinality as one (attempt, started_at, outcome, status, error, milliseconds, response, position)
        cross join lateral (select attempt, started_at, outcome, status, error, milliseconds, response) as made
      ) as attempts
    from (
      select callback_state_now(barrier.callback_state, barrier.callback_due_at, barrier.callback_leased_at) as state
      offset 0
    ) as now_is
  ) as reply
$$;
