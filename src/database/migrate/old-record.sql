-- rollcall migrate, and serve as it starts
--
-- Reads the record of a service from before rollcall_migrations: as JSON, because the table may be anybody's.
--
-- ->  record: its rows

select to_jsonb(schemaversion) as record
from schemaversion
limit 10
