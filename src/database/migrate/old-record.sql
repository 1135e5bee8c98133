-- rollcall migrate, and serve as it starts
--
-- The record of a service from before rollcall_migrations, if it is one: read as JSON, because it may be anybody's table.
--
-- ->  record: its rows

select to_jsonb(schemaversion) as record
from schemaversion
limit 10
