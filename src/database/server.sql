-- GET /readyz, GET /health; rollcall migrate, and serve as it starts
--
-- The facts about server and session that Rollcall depends on, whatever schema there is.
--
-- ->  server_version_num; encoding: of the database; the durability settings; whether the server takes writes; whether this
--     connection has the settings that it was made with; whether the triggers that guard rows fire

select
  current_setting('server_version_num')::integer as server_version_num,
  current_setting('server_encoding') as encoding,
  current_setting('fsync') as fsync,
  current_setting('full_page_writes') as full_page_writes,
  current_setting('synchronous_commit') as synchronous_commit,
  current_setting('statement_timeout') <> '0' as is_bounded,
  pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only,
  current_setting('session_replication_role') <> 'replica' as triggers_fire
