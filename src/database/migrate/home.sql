-- rollcall migrate, and serve as it starts
--
-- The schema that has Rollcall's tables, or will have them: the one of its record, where search_path finds a record; else the
-- one of a barriers table of ours from before there was a record; else the one where search_path creates. A table is ours by
-- its columns, because others have tables called batches too.
--
-- ->  home: null when search_path names no schema that exists; may_create; role; has_record; tables: which of our two names
--     are taken there; are_ours; has_old_record: there is a table schemaversion, which may be anybody's

with expected (name, columns) as (
  values
    ('barriers', '{namespace, execution_id, generation, fingerprint, enqueue_nonce, closing_nonce, callback_state}'::text[]),
    ('batches', '{namespace, execution_id, generation, batch_index, recorded_nonce, outcome_bytes}')
),

ours as (
  select pg_class.relname, pg_class.relnamespace
  from expected
  join pg_class on pg_class.relname = expected.name and pg_class.relkind in ('r', 'p')
  where expected.columns <@ array(
    select attname::text from pg_attribute where attrelid = pg_class.oid and attnum > 0 and not attisdropped
  )
),

place as (
  select coalesce(
    (select relnamespace from pg_class where oid = to_regclass('rollcall_migrations')),
    (
      select pg_class.relnamespace
      from pg_class
      join ours using (relname, relnamespace)
      where pg_class.oid = to_regclass('barriers')
    ),
    (select oid from pg_namespace where nspname = current_schema())
  ) as namespace
),

taken as (
  select pg_class.relname::text
  from place
  join pg_class on pg_class.relnamespace = place.namespace
  where pg_class.relname in ('barriers', 'batches')
)

select
  (select quote_ident(nspname) from pg_namespace where oid = place.namespace) as home,
  coalesce(has_schema_privilege(place.namespace, 'create'), false) as may_create,
  current_user::text as role,
  exists (
    select from pg_class where relname = 'rollcall_migrations' and relnamespace = place.namespace
  ) as has_record,
  array(select relname from taken order by relname) as tables,
  (select count(*) = 2 from ours where ours.relnamespace = place.namespace) as are_ours,
  exists (
    select from pg_class where relname = 'schemaversion' and relnamespace = place.namespace
  ) as has_old_record
from place
