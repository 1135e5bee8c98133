-- oldest service: 2

-- The same rules for less at each write. Validated in 0012, so that no row is looked at under these locks; barriers before
-- batches, as everywhere.

-- `integer || text` is a function in SQL, which Postgres parses anew for each statement that writes to the table: 6 % of a claim
-- that goes alone. A cast is none.
alter table barriers
  drop constraint barriers_callback_token_names_its_lease,
  add constraint barriers_callback_token_names_its_lease check (
    callback_token is null
    or starts_with(callback_token, generation::text || '.' || callback_attempt::text || '.')
  ) not valid;

alter table batches
  drop constraint batches_token_names_its_grant,
  add constraint batches_token_names_its_grant check (
    token is null or starts_with(token, generation::text || '.' || attempt::text || '.')
  ) not valid;
