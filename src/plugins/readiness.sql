-- GET /readyz, GET /health
--
-- What has to be right before a request may be served.
--
-- ->  version: the newest migration that was run; the durability settings; whether the server takes writes

select
  (select max(version) from schemaversion)::integer as version,
  current_setting('fsync') as fsync,
  current_setting('full_page_writes') as full_page_writes,
  current_setting('synchronous_commit') as synchronous_commit,
  pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only
