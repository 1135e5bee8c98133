-- rollcall migrate, and serve as it starts
--
-- Reads what may be the record of a service from before rollcall_migrations: as JSON, because it may be anybody's table.
--
-- ->  record: its rows

select to_jsonb(schemaversion) as record
from schemaversion
limit 10
