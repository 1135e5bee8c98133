-- GET /executions
--
-- One page of barriers, newest first, or in order of id if a prefix is given. The cursors are keysets: a page begins behind
-- the last row of the page before, so rows that come and go meanwhile neither shift nor repeat it. A prefix with a state looks
-- at 10,000 ids at most. The indexes of the lists hold `namespace || ''` (see the migration).
--
-- $1  [{ namespace, state, prefix, after_created_at, after_execution_id, page }]
-- ->  data, next_created_at, next_execution_id (null: the list has ended)

with ask as materialized (
  select *
  from json_to_recordset($1) as ask (
    namespace text, state text, prefix text, after_created_at timestamptz, after_execution_id text, page integer
  )
),

barrier_of_any_state as (
  select barrier.*
  from ask
  cross join lateral (
    select *
    from barriers
    where barriers.namespace || '' = ask.namespace
      and (barriers.created_at, barriers.execution_id) < (
        coalesce(ask.after_created_at, 'infinity'), coalesce(ask.after_execution_id, '')
      )
    order by barriers.created_at desc, barriers.execution_id desc
    limit ask.page + 1
  ) as barrier
  where ask.prefix is null and ask.state is null
),

barrier_of_state as (
  select barrier.*
  from ask
  cross join lateral (
    select *
    from barriers
    where barriers.namespace || '' = ask.namespace
      and barriers.state = ask.state
      and (barriers.created_at, barriers.execution_id) < (
        coalesce(ask.after_created_at, 'infinity'), coalesce(ask.after_execution_id, '')
      )
    order by barriers.created_at desc, barriers.execution_id desc
    limit ask.page + 1
  ) as barrier
  where ask.prefix is null and ask.state is not null
),

-- Ids are compared byte for byte, so the ids of a prefix lie together. No such id comes after the prefix followed by 64 times
-- the highest character.
scanned_barrier as materialized (
  select barrier.*
  from ask
  cross join lateral (
    select *
    from barriers
    where barriers.namespace = ask.namespace
      and barriers.execution_id >= ask.prefix
      and barriers.execution_id > coalesce(ask.after_execution_id, '')
      and barriers.execution_id <= ask.prefix || repeat(chr(1114111), 64)
    order by barriers.execution_id
    limit case when ask.state is null then ask.page + 1 else 10000 end
  ) as barrier
  where ask.prefix is not null
),

listed_barrier as materialized (
  select * from barrier_of_any_state
  union all
  select * from barrier_of_state
  union all
  (
    select scanned_barrier.*
    from scanned_barrier, ask
    where ask.state is null or scanned_barrier.state = ask.state
    order by scanned_barrier.execution_id
    limit (select page + 1 from ask)
  )
),

page as materialized (
  select
    listed_barrier.*,
    row_number() over (
      order by case when ask.prefix is null then created_at end desc,
        case when ask.prefix is null then execution_id end desc, execution_id
    ) as position
  from listed_barrier, ask
),

last_shown as (
  select created_at, execution_id
  from page, ask
  where page.position = ask.page and exists (select from page where page.position > ask.page)
  union all
  -- If the 10,000 ids looked at gave no row beyond this page, the next page goes on behind the last of them.
  select created_at, execution_id
  from (select * from scanned_barrier order by execution_id desc limit 1) as scanned_barrier
  where (select count(*) from scanned_barrier) = 10000
    and (select count(*) from page) <= (select ask.page from ask)
)

select
  (
    select coalesce(
      json_agg(
        (
          select to_json(reply)
          from (
            select page.execution_id, page.generation, page.state, page.reason, page.total, page.succeeded,
              page.failed, page.total - page.succeeded - page.failed as remaining,
              rfc3339(page.created_at) as created_at, rfc3339(page.last_progress_at) as last_progress_at,
              rfc3339(page.expires_at) as expires_at, rfc3339(page.closed_at) as closed_at,
              (
                select to_json(reply)
                from (
                  select callback_state_now(page.callback_state, page.callback_due_at, page.callback_leased_at) as state
                ) as reply
              ) as callback
          ) as reply
        )
        order by page.position
      ) filter (where page.position <= ask.page),
      '[]'
    )
    from page
  ) as data,
  (select rfc3339(created_at) from last_shown) as next_created_at,
  (select execution_id from last_shown) as next_execution_id
from ask
