-- How a barrier is judged and closed: said once, for every statement that counts batches or closes barriers.
--
-- oldest service: 3

-- What closing a barrier in `state` sets beside the state itself; of a barrier that stays open it is all as before. A callback
-- becomes due if its events name the state, in the same statement.
create function closing(callback_events text[], state text, closing_nonce text)
returns table (closed_at timestamptz, callback_state text, callback_id text, callback_due_at timestamptz)
language sql stable parallel safe
as $$
  select
    case when state <> 'open' then clock_timestamp() end,
    case when state = any (callback_events) then 'due' else 'none' end,
    case when state = any (callback_events) then 'cb_' || closing_nonce end,
    case when state = any (callback_events) then clock_timestamp() end
$$;

-- What becomes of an open barrier by batches that a run recorded: `succeeded` and `failed` count all of its batches, these
-- included. The failures of this run are `failed_indexes` and `failed_nonces`, in the order in which they count: the first one
-- beyond the tolerance closes the barrier. Otherwise the last batch does, whose nonce is `last_nonce`.
create function judged(
  total integer, tolerated integer, succeeded integer, failed integer,
  failed_indexes integer[], failed_nonces text[], last_nonce text
)
returns table (state text, reason text, closing_nonce text)
language sql stable parallel safe
as $$
  select
    case
      when failed > tolerated then 'aborted'
      when succeeded + failed = total then 'completed'
      else 'open'
    end,
    case
      when failed > tolerated then
        format('Batch %s failed: %s failed, %s tolerated.', failed_indexes[first_beyond.position], failed, tolerated)
    end,
    case
      when failed > tolerated then failed_nonces[first_beyond.position]
      when succeeded + failed = total then last_nonce
    end
  from (select tolerated - (failed - coalesce(cardinality(failed_indexes), 0)) + 1 as position) as first_beyond
$$;
