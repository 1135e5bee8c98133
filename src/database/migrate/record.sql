-- rollcall migrate, and serve as it starts
--
-- Creates the record of the migrations that have run, in a table whose name nobody else has.

create table rollcall_migrations (
  version integer primary key,
  name text not null,
  checksum text not null,
  oldest_service integer not null,
  run_at timestamptz not null default clock_timestamp()
);

comment on table rollcall_migrations is 'Which migrations of Rollcall have run here.';
comment on column rollcall_migrations.checksum is 'SHA-256 of the file that has run.';
comment on column rollcall_migrations.oldest_service is 'Once this migration has run, a service has to know the migration of this number to run here.';
