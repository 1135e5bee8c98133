-- GET /readyz, GET /health
--
-- What has to be right before a request may be served.
--
-- ->  version: the newest migration that was run; the durability settings; whether the server takes writes; whether this
--     connection has the settings that it was made with

select
  (select max(version) from schemaversion)::integer as version,
  current_setting('fsync') as fsync,
  current_setting('full_page_writes') as full_page_writes,
  current_setting('synchronous_commit') as synchronous_commit,
  current_setting('statement_timeout') <> '0' as is_bounded,
  pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only
