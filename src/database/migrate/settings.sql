-- rollcall migrate, and serve as it starts
--
-- A migration may take as long as it needs, whatever time-outs the role has (transaction_timeout is there from Postgres 17
-- on), but waits for a lock no longer than $1. It creates in the schema where Rollcall's tables are.
--
-- $1 lock_timeout; $2 search_path; $3 whether for this transaction alone

select set_config(name, setting, $3)
from (
  select name, '0' as setting
  from pg_settings
  where name in ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
  union all
  values ('lock_timeout', $1), ('search_path', $2), ('standard_conforming_strings', 'on')
) as settings
