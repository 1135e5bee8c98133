-- oldest service: 2

-- How a callback reaches its receiver, and how what nobody needs any more is found: the columns, and one partial index for
-- each question that a loop asks. None of them holds what a decrement changes, so counting stays heap-only.

-- What encodeURIComponent makes of a text, byte by byte.
create function percent_encoded(text) returns text
language sql immutable parallel safe
as $$
  select string_agg(
    case
      when chr(byte) ~ '[A-Za-z0-9_.!~*''()-]' and byte < 128 then chr(byte)
      else '%' || lpad(upper(to_hex(byte)), 2, '0')
    end,
    '' order by position
  )
  from generate_series(0, octet_length($1) - 1) as position
  cross join lateral (select get_byte(convert_to($1, 'UTF8'), position)) as encoded (byte)
$$;

alter table barriers
  -- Columns of their own and not generated ones, which every counting update would compute anew.
  add column callback_queue text collate "C",
  add column callback_host text collate "C",
  add column callback_priority smallint,
  add column callback_token text,
  add column callback_attempt integer not null default 0,
  add column callback_attempts_before integer not null default 0,
  add column callback_attempts jsonb not null default '[]',
  add column callback_leased_at timestamptz,
  add column callback_settled_at timestamptz,
  add column callback_message json,
  add column stuck_check_at timestamptz not null default clock_timestamp(),
  add column oldest_generation integer not null default 1,
  add column batches_kept boolean not null default true,

  add constraint barriers_callback_due_at_until_it_is_over check (
    (callback_due_at is not null) = (callback_state in ('due', 'delivering'))
  ),
  add constraint barriers_callback_settled_at_once_it_is_over check (
    (callback_settled_at is not null) = (callback_state in ('delivered', 'dead'))
  ),
  add constraint barriers_callback_leased_with_a_token check (
    callback_state <> 'delivering' or (callback_token is not null and callback_leased_at is not null)
  ),
  add constraint barriers_callback_token_names_its_lease check (
    callback_token is null or starts_with(callback_token, generation || '.' || callback_attempt || '.')
  ),
  add constraint barriers_callback_attempts_before_are_among_all check (
    callback_attempts_before between 0 and callback_attempt
  ),
  add constraint barriers_callback_message_built_before_it_is_sent check (
    callback_message is not null or callback_state in ('none', 'due')
  ),
  add constraint barriers_callback_message_only_of_a_callback check (
    callback_message is null or callback_state <> 'none'
  ),
  -- What is too long for an index has to fail as it comes, and not when its barrier closes.
  add constraint barriers_callback_host_is_1_to_255_bytes check (octet_length(callback_host) between 1 and 255),
  add constraint barriers_callback_queue_is_1_to_255_bytes check (octet_length(callback_queue) between 1 and 255),
  add constraint barriers_oldest_generation_is_not_newer check (oldest_generation between 1 and generation),
  add constraint barriers_batches_kept_while_needed check (
    batches_kept or (state <> 'open' and callback_state not in ('due', 'delivering')) or callback_message is not null
  );

update barriers
set
  callback_queue = callback ->> 'queue',
  callback_host = lower(substring(callback ->> 'url' from '^[^:]+://([^/?#\\]{1,255})')),
  callback_priority = (callback ->> 'priority')::smallint
where callback is not null;

comment on column barriers.callback_due_at is 'When the callback is to be taken: due since then, or the end of the lease under which it is delivered.';
comment on column barriers.callback_host is 'Host and port of the URL; each has a few slots of its own.';
comment on column barriers.callback_token is 'generation.attempt.random of the newest lease; what ack and retry show.';
comment on column barriers.callback_attempt is 'How often the callback was leased.';
comment on column barriers.callback_attempts_before is 'Of these, how many before it was last made due by redeliver: the schedule counts from there.';
comment on column barriers.callback_attempts is 'The newest 20 attempts, oldest first.';
comment on column barriers.callback_settled_at is 'When it was delivered or given up.';
comment on column barriers.callback_message is 'The body, built when it is first needed, and the same on every attempt.';
comment on column barriers.stuck_check_at is 'When to look whether nothing progresses; moved by that look, so that progress itself need not be indexed.';
comment on column barriers.oldest_generation is 'Older generations than this have no batches any more.';
comment on column barriers.batches_kept is 'False once retention has forgotten the batches of the closed barrier.';

create index barriers_callbacks_to_post on barriers (callback_host, callback_due_at)
where callback_state in ('due', 'delivering') and callback_host is not null;

create index barriers_callbacks_to_pull on barriers ((namespace || ''), callback_queue, callback_priority, callback_due_at)
where callback_state in ('due', 'delivering') and callback_queue is not null;

create index barriers_callbacks_to_give_up on barriers (callback_due_at)
where callback_state in ('due', 'delivering') and callback_queue is not null;

create index barriers_to_expire on barriers (expires_at) where state = 'open';
create index barriers_to_check on barriers (stuck_check_at) where state = 'open';

create index barriers_over on barriers (batches_kept, coalesce(callback_settled_at, closed_at))
where state <> 'open' and callback_state in ('none', 'delivered', 'dead');

create index barriers_replaced on barriers (created_at) where oldest_generation < generation;

create index batches_out_of_attempts on batches (namespace, execution_id, generation, batch_index)
where state in ('claimed', 'released') and attempt >= max_attempts;

create index batches_without_barrier on batches (claimed_at) where generation = 0;

create trigger barriers_callback_over_until_redelivered
before update on barriers for each row
when (
  new.generation = old.generation
  and old.callback_state in ('delivered', 'dead')
  and new.callback_state not in (old.callback_state, 'due')
)
execute function refuse_write();

create trigger barriers_callback_message_never_changes
before update on barriers for each row
when (
  new.generation = old.generation
  and old.callback_message is not null
  and new.callback_message::text is distinct from old.callback_message::text
)
execute function refuse_write();

create trigger barriers_callback_attempts_never_fall
before update on barriers for each row
when (new.generation = old.generation and new.callback_attempt < old.callback_attempt)
execute function refuse_write();

-- The message of a closed barrier, from committed rows: { type, timestamp, data }. Text of callers passes digit by digit, so
-- members are put together as text.
--
-- inline_bytes: results that need more are not in it, but at results_url; judged by the running sum on the barrier's row,
-- and 64 bytes around each. public_url: what results_url begins with.
create function callback_message(barrier barriers, inline_bytes bigint, public_url text) returns json
language sql stable
as $$
  with result_list as (
    select '[' || coalesce(string_agg(member::text, ',' order by batch_index), '') || ']' as members
    from (
      select
        batch_index,
        case
          when state = 'succeeded' then (
            select to_json(reply) from (select batch_index, state as status, result) as reply
          )
          else (select to_json(reply) from (select batch_index, state as status, error) as reply)
        end as member
      from batches
      where namespace = barrier.namespace
        and execution_id = barrier.execution_id
        and generation = barrier.generation
        and state in ('succeeded', 'failed')
        and barrier.succeeded + barrier.failed > 0
      order by batch_index
    ) as recorded
    where barrier.result_bytes + 64 * (barrier.succeeded + barrier.failed)::bigint <= inline_bytes
    having barrier.result_bytes + 64 * (barrier.succeeded + barrier.failed)::bigint <= inline_bytes
  ),

  -- The missing are looked for among the first million batches that have a row.
  looked_at as materialized (
    select batch_index, state in ('succeeded', 'failed') as is_recorded
    from batches
    where namespace = barrier.namespace
      and execution_id = barrier.execution_id
      and generation = barrier.generation
      and barrier.state = 'expired'
    order by batch_index
    limit 1000000
  ),

  -- The gaps between recorded batches, and what is behind the last of them.
  gap as (
    select coalesce(lag(batch_index) over (order by batch_index), -1) + 1 as first, batch_index - 1 as last
    from looked_at
    where is_recorded
    union all
    select
      coalesce(max(batch_index) filter (where is_recorded), -1) + 1,
      case when count(*) < 1000000 then barrier.total - 1 else max(batch_index) end
    from looked_at
    having barrier.state = 'expired'
  ),

  missing_index as (
    select missing.batch_index
    from (select * from gap where first <= last order by first limit 1000) as gap
    cross join lateral generate_series(gap.first, least(gap.last, gap.first + 999)) as missing (batch_index)
    order by missing.batch_index
    limit 1000
  ),

  missing_list as (
    select '[' || string_agg(to_json(missing)::text, ',' order by batch_index) || ']' as members
    from (
      select missing_index.batch_index, held.owner, coalesce(held.attempt, 0) as attempt
      from missing_index
      left join lateral (
        select batches.owner, batches.attempt
        from batches
        where batches.namespace = barrier.namespace
          and batches.execution_id = barrier.execution_id
          and batches.generation = barrier.generation
          and batches.batch_index = missing_index.batch_index
        limit 1
      ) as held on true
    ) as missing
  ),

  member (position, name, value) as (
    values
      (1, 'execution_id', to_json(barrier.execution_id)::text),
      (2, 'generation', barrier.generation::text),
      (3, 'state', to_json(barrier.state)::text),
      (4, 'reason', coalesce(to_json(barrier.reason)::text, 'null')),
      (5, 'total', barrier.total::text),
      (6, 'succeeded', barrier.succeeded::text),
      (7, 'failed', barrier.failed::text),
      (8, 'task_name', coalesce((barrier.callback -> 'task_name')::text, 'null')),
      (9, 'kwargs', coalesce((barrier.callback -> 'kwargs')::text, 'null')),
      (10, 'headers', coalesce((barrier.callback -> 'headers')::text, 'null')),
      (11, 'metadata', coalesce(barrier.metadata::text, 'null')),
      (12, 'results', (select members from result_list)),
      (13, 'missing', (select members from missing_list)),
      (
        14, 'results_url', to_json(
          public_url || '/executions/' || percent_encoded(barrier.execution_id) || '/batches?generation='
            || barrier.generation
        )::text
      )
  )

  select (
    '{"type":"barrier.' || barrier.state || '","timestamp":"' || rfc3339(barrier.closed_at) || '","data":{'
      || string_agg(to_json(name)::text || ':' || value, ',' order by position) || '}}'
  )::json
  from member
  where value is not null
$$;

-- What the message takes at most, known without building it: 64 bytes around each result, 1,100 for a missing batch with the
-- longest owner, and 8 for each row that is read to find the missing. So what one statement builds is bounded in size and time.
create function callback_message_bytes(barrier barriers, inline_bytes bigint) returns bigint
language sql stable
as $$
  select coalesce(
    octet_length(barrier.callback_message::text)::bigint,
    4096 + octet_length(barrier.callback::text) + coalesce(octet_length(barrier.metadata::text), 0)
      + 2 * coalesce(octet_length(barrier.reason), 0)
      + case
        when barrier.result_bytes + 64 * (barrier.succeeded + barrier.failed)::bigint <= inline_bytes
          then barrier.result_bytes + 64 * (barrier.succeeded + barrier.failed)::bigint
        else 0
      end
      + case
        when barrier.state = 'expired'
          then 1100 * least(barrier.total - barrier.succeeded - barrier.failed, 1000) + 8 * barrier.total::bigint
        else 0
      end
  )
$$;

-- The attempts of a callback and one more, which ends now: { outcome, status, error, milliseconds, response }. The newest 20
-- are kept.
create function callback_attempts_with(barrier barriers, ended jsonb) returns jsonb
language sql stable
as $$
  select jsonb_path_query_array(
    barrier.callback_attempts || (
      jsonb_build_object('attempt', barrier.callback_attempt, 'started_at', rfc3339(barrier.callback_leased_at)) || ended
    ),
    '$[last - 19 to last]'
  )
$$;

-- The same when a lease ended and nobody knows how its attempt did.
create function callback_attempts_with_lost(barrier barriers) returns jsonb
language sql stable
as $$
  select callback_attempts_with(barrier, '{
    "outcome": "unknown", "status": null, "error": "lease_ended", "milliseconds": null, "response": null
  }')
$$;

-- What GET, ack, retry and redeliver answer of a callback.
create function callback_reply(barrier barriers) returns json
language sql stable
as $$
  select to_json(reply)
  from (
    select
      barrier.execution_id,
      barrier.generation,
      barrier.callback_id,
      barrier.callback_state as state,
      case when barrier.callback_state = 'due' then rfc3339(barrier.callback_due_at) end as due_at,
      case when barrier.callback_state = 'delivering' then rfc3339(barrier.callback_due_at) end as lease_expires_at,
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
  ) as reply
$$;
