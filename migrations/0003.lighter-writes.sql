-- oldest service: 2

-- The same rules and the same questions, for less at each write.

-- `integer || text` is a function in SQL, which Postgres parses anew for each statement that writes to the table: 6 % of a claim
-- that goes alone. A cast is none.
alter table batches
  drop constraint batches_token_names_its_grant,
  add constraint batches_token_names_its_grant check (
    token is null or starts_with(token, generation::text || '.' || attempt::text || '.')
  );

alter table barriers
  drop constraint barriers_callback_token_names_its_lease,
  add constraint barriers_callback_token_names_its_lease check (
    callback_token is null
    or starts_with(callback_token, generation::text || '.' || callback_attempt::text || '.')
  );

-- Who asks for the claims of an execution reads all of them, so they need no order; and equal keys are kept once in a page.
drop index batches_claimed;
create index batches_claimed on batches (namespace, execution_id, generation) where state = 'claimed';
