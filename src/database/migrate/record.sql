-- rollcall migrate, and serve as it starts
--
-- Which migrations have run, in a table whose name nobody else has.

create table rollcall_migrations (
  version integer primary key,
  name text not null,
  checksum text not null,
  oldest_service integer not null,
  run_at timestamptz not null default clock_timestamp()
);

comment on table rollcall_migrations is 'Which migrations of Rollcall have run here.';
comment on column rollcall_migrations.checksum is 'SHA-256 of the file that has run.';
comment on column rollcall_migrations.oldest_service is 'The newest migration that the oldest service knows which may still run on this schema.';
