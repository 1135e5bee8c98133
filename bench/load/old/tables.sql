-- The two tables of the old primitive (design §1), whose statements ran inside its workers.

create table if not exists pg_batch_dedup (
  execution_id text not null,
  batch_index integer not null,
  claimed_at timestamptz not null default now(),
  primary key (execution_id, batch_index)
);

create table if not exists pg_barrier_state (
  execution_id text primary key,
  remaining integer not null,
  results jsonb not null default '[]',
  callback json,
  created_at timestamptz not null default now()
);
